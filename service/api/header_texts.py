"""Headers of a request as texts, made once for a head that comes again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADER_TEXTS = "relist.header_texts"  # in a scope whose head our protocol has seen before


def header_texts(scope: Mapping[str, Any]) -> Mapping[str, str]:
    """By lower-case name; of a header that is there twice the first counts."""
    known: Mapping[str, str] | None = scope.get(HEADER_TEXTS)
    if known is not None:
        return known
    return {k.decode("latin-1"): v.decode("latin-1") for k, v in reversed(scope["headers"])}
