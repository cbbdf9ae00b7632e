"""Counts shows and clicks of each item so far: candidate fields `shows_before`, `clicks_before`.

A count covers the periods (an hour, a day) that ended before the request's own began, so that
neither the request nor anything later reaches it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from model.data.adapters.impression_row import ImpressionRow

SHOWS_BEFORE, CLICKS_BEFORE = "shows_before", "clicks_before"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_CLICK = 1 << 32  # a count holds shows below this bit and clicks above


class ItemCounters:
    """Counts by item and period; memory: one number for each pair that occurs."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._counts: dict[str, dict[int, int]] = {}
        self._totals: dict[str, tuple[list[int], list[int]]] = {}

    def add(self, request: ImpressionRow) -> None:
        """Count the shown items of a request."""
        period = request.timestamp // self._period_ms
        for item, click in zip(request.shown, request.clicks, strict=True):
            periods = self._counts.setdefault(item, {})
            periods[period] = periods.get(period, 0) + 1 + click * _CLICK

    def before(self, timestamp: int, items: Sequence[str]) -> tuple[list[int], list[int]]:
        """Shows and clicks of each item before the period of `timestamp`."""
        period = timestamp // self._period_ms
        packed = [self._before(item, period) for item in items]
        return [count % _CLICK for count in packed], [count // _CLICK for count in packed]

    def _before(self, item: str, period: int) -> int:
        if item not in self._totals:
            ordered = sorted(self._counts.pop(item, {}).items())
            sums = list(accumulate((count for _, count in ordered), initial=0))
            self._totals[item] = ([p for p, _ in ordered], sums)
        periods, sums = self._totals[item]
        return sums[bisect_left(periods, period)]
