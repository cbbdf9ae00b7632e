"""Results of one run of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field

from loadtest.bench import measurements
from loadtest.bench.comparison import Comparison
from loadtest.bench.worker_scaling import WorkerScaling


@dataclass(slots=True)
class BenchResults:
    """All results of one run; empty for parts that were not run."""

    run_info: dict[str, str]
    rounds: list[list[measurements.ClosedLoopResult]] = field(default_factory=list)
    comparison: Comparison = field(default_factory=Comparison)
    half_load: dict[str, measurements.OpenLoopResult] = field(default_factory=dict)
    high_load: dict[str, measurements.OpenLoopResult] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    sizes: list[measurements.SizeResult] = field(default_factory=list)
    scaling: WorkerScaling | None = None
    memory: dict[str, list[dict[str, float]]] = field(default_factory=dict)
