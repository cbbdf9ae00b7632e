"""Latencies as counts in buckets 1 % wide: small, exact to 0.5 %, and added across processes.

Percentiles of processes cannot be averaged; counts can be added.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

_WIDTH = math.log(1.01)
_SMALLEST_S = 1e-6


class LatencyHistogram:
    """Counts by bucket; bucket i holds seconds around 1 us * 1.01**i."""

    def __init__(self, counts: Iterable[Sequence[int]] = ()) -> None:
        self._counts: Counter[int] = Counter()
        for bucket, count in counts:
            self._counts[bucket] += count

    def add(self, seconds: float) -> None:
        """Count one latency; below a microsecond it counts as one."""
        self._counts[round(math.log(max(seconds, _SMALLEST_S) / _SMALLEST_S) / _WIDTH)] += 1

    def merge(self, other: LatencyHistogram) -> None:
        """Add the counts of another histogram."""
        self._counts.update(other._counts)

    def __len__(self) -> int:
        return self._counts.total()

    def percentile(self, percent: float) -> float | None:
        """Seconds that `percent` of all are at or below (nearest rank); None when it is empty."""
        rank = math.ceil(percent / 100 * len(self))
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= max(rank, 1):
                return _SMALLEST_S * math.exp(bucket * _WIDTH)
        return None

    def bucket_counts(self) -> list[tuple[int, int]]:
        """Bucket -> count, as sent between processes."""
        return sorted(self._counts.items())
