"""The folder for files that can be made or fetched again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def user_cache_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/relist`, by default `~/.cache/relist`."""
    base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "relist"
