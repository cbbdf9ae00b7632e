"""Durations and sizes of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_CANDIDATES, DEFAULT_LISTS = 100, 8  # of everything but the table of sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """Durations in seconds, and sizes.

    rounds: in each, every service answers in both forms, in another order.
    connections: of the closed loop; a single one would leave the core idle between requests.
    compared_connections, compared_open_s: of the closed and the open loops of the comparison.
    windows: repeats of an open run; the tail is judged by the best, the median is quoted.
    candidate_counts, list_counts: N and K of the table.
    sequential_requests: sent one after another, for the times of the stages.
    item_count, field_count: of the artifact whose memory is measured.
    """

    rounds: int = 6
    closed_s: float = 2.5
    connections: int = 4
    compared_connections: tuple[int, ...] = (1, 4, 16)
    compared_open_s: float = 4.0
    windows: int = 3
    half_load_s: float = 8.0
    high_load_s: float = 20.0
    size_closed_s: float = 2.0
    size_open_s: float = 5.0
    candidate_counts: tuple[int, ...] = (50, 100, 200, 500)
    list_counts: tuple[int, ...] = (1, 8, 32)
    sequential_requests: int = 400
    scaling_rounds: int = 6
    item_count: int = 100_000
    field_count: int = 10


FULL_BENCH = BenchSettings()
QUICK_BENCH = BenchSettings(
    rounds=2,
    closed_s=0.4,
    compared_open_s=0.6,
    windows=2,
    half_load_s=0.6,
    high_load_s=0.6,
    size_closed_s=0.2,
    size_open_s=0.4,
    candidate_counts=(10, 30),
    list_counts=(1, 8),
    sequential_requests=20,
    scaling_rounds=1,
    item_count=300,
)
