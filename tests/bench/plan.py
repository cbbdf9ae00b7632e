"""How long the benchmark measures what."""

from __future__ import annotations

from dataclasses import dataclass

CANDIDATES, LISTS = 100, 8  # of everything but the table of sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Times in seconds.

    rounds: in each, every contender answers in both forms, in another order.
    connections: of the closed loop; one would leave the core idle between two requests.
    windows: repeats of an open run; the tail is judged by the best, the median is quoted.
    sizes, lists: N and K of the table.
    alone: requests asked one after the other, for the times of the stages.
    items, fields: of the artifact whose memory is measured.
    """

    rounds: int = 6
    closed_s: float = 2.5
    connections: int = 4
    windows: int = 3
    half_s: float = 8.0
    tail_s: float = 20.0
    cell_closed_s: float = 2.0
    cell_open_s: float = 5.0
    sizes: tuple[int, ...] = (50, 100, 200, 500)
    lists: tuple[int, ...] = (1, 8, 32)
    alone: int = 400
    pair_rounds: int = 6
    items: int = 100_000
    fields: int = 10


FULL = Plan()
QUICK = Plan(
    rounds=2,
    closed_s=0.4,
    windows=2,
    half_s=0.6,
    tail_s=0.6,
    cell_closed_s=0.2,
    cell_open_s=0.4,
    sizes=(10, 30),
    lists=(1, 8),
    alone=20,
    pair_rounds=1,
    items=300,
)
