"""Bounds of a canonical log: ids, lists, timestamps and parts of the split.

Checks, preparation and the serving bundle read them here. The bound of an id is that of the wire
format, so the service accepts every id of a checked log.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.contract.wire.size_limits import MAX_ID_LENGTH

__all__ = ["MAX_ID_LENGTH", "ListLimits"]

MIN_TIMESTAMP_MS, MAX_TIMESTAMP_MS = 631_152_000_000, 4_102_444_800_000  # years 1990 to 2100
MIN_REQUESTS = 20  # requests of a whole log
MIN_PART_REQUESTS = {  # requests of each part of the split
    "training": 2,  # two different rows in a batch
    "validation": 2,  # export traces the graphs with two golden requests
    "test": 1,  # the serving bundle holds at least one example request
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLimits:
    """Longest lists that a log may hold, in items."""

    max_candidates: int = 500
    max_shown: int = 50
