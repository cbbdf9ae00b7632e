"""How many cores a worker process has, and so where its graphs run."""

from __future__ import annotations

import os
from pathlib import Path

from service.inference.loop_worker import LoopWorker
from service.inference.worker import ThreadWorker
from service.settings import Settings
from service.telemetry.structured_logs import log_event

_CGROUP = Path("/sys/fs/cgroup/cpu.max")  # "QUOTA PERIOD" in microseconds, or "max PERIOD"
_ENOUGH = 2.0  # for a thread beside the loop


def open_worker(settings: Settings) -> ThreadWorker | LoopWorker:
    """What runs the graphs of one worker process, as the settings or its cores say."""
    cores = process_cores() / settings.workers
    place = settings.inference
    if place == "auto":
        place = "thread" if cores >= _ENOUGH else "loop"
    log_event(
        "info", "inference", runs_on=place, cores=round(cores, 2), shared=settings.shared_runs
    )
    worker = ThreadWorker if place == "thread" else LoopWorker
    return worker(settings.shared_runs)


def process_cores(quota: Path = _CGROUP) -> float:
    """Cores that this process may use: those it may run on, or the share a container is given."""
    allowed = _allowed()
    try:
        most, period = map(int, quota.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no such limit, or "max"
        return allowed
    return min(allowed, most / period) if most > 0 and period > 0 else allowed


def _allowed() -> float:
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return float(len(os.sched_getaffinity(0)))
    return float(os.cpu_count() or 1)
