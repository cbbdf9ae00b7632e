"""What one run of the benchmark measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.bench import measure
from tests.bench.pair import Scaling


@dataclass(slots=True)
class Results:
    """Everything that one run measured; a part that was not asked for is empty."""

    facts: dict[str, str]
    rounds: list[list[measure.Closed]] = field(default_factory=list)
    half: dict[str, measure.Open] = field(default_factory=dict)
    tail: dict[str, measure.Open] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    cells: list[measure.Cell] = field(default_factory=list)
    scaling: Scaling | None = None
    memory: dict[str, list[dict[str, float]]] = field(default_factory=dict)
