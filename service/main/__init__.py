"""The composition root: settings in, a serving process out. Knows every other room."""

from __future__ import annotations

from service.main.cli import main

__all__ = ["main"]
