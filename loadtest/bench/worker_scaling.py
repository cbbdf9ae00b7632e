"""Compares two worker processes on two cores with one process on one core."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.bench.bench_settings import BenchSettings
from loadtest.bench.load_loops import LoadLoops
from loadtest.bench.machine import pin_process, process_cpu_seconds
from loadtest.bench.measured_services import MeasuredService

_MIXED = 8  # connections per worker; the kernel distributes them at random


@dataclass(frozen=True, slots=True)
class WorkerScaling:
    """Requests/s of one process and of two workers, one value per round.

    cpu_ratios: the same ratio by the workers' CPU time, without that of the load and the store.
    busier_worker_shares: share of the two workers' CPU time that the busier one used.
    """

    one_process: list[float]
    two_workers: list[float]
    cpu_ratios: list[float]
    busier_worker_shares: list[float]

    @property
    def ratio(self) -> float:
        """Throughput of two workers over one process, the median of the rounds."""
        return statistics.median(
            b / a for a, b in zip(self.one_process, self.two_workers, strict=True)
        )


def pin_workers(workers: MeasuredService, cores: Sequence[int]) -> None:
    """Pin one worker to each core."""
    for pid, core in zip(workers.pids, cores, strict=True):
        pin_process(pid, core)


def measure_scaling(
    one: MeasuredService,
    two: MeasuredService,
    bodies: list[bytes],
    settings: BenchSettings,
    rng: random.Random,
) -> WorkerScaling:
    """Interleaved rounds of both. The load shares the second core with the second worker."""
    connections = {one: settings.connections, two: _MIXED * 2}
    found = WorkerScaling([], [], [], [])
    with LoadLoops(one.port, bodies) as of_one, LoadLoops(two.port, bodies) as of_two:
        callers = {one: of_one, two: of_two}
        for turn in range(settings.scaling_rounds + 1):
            rates: dict[MeasuredService, tuple[float, float]] = {}
            for contender in rng.sample([one, two], 2):
                before = {pid: process_cpu_seconds(pid) for pid in contender.pids}
                heard = callers[contender].run_closed(settings.closed_s, connections[contender])
                spent = [process_cpu_seconds(pid) - was for pid, was in before.items()]
                rates[contender] = heard.throughput, heard.answers / sum(spent)
                if contender is two and turn:
                    found.busier_worker_shares.append(max(spent) / sum(spent))
            if turn:  # the first round fills caches
                found.one_process.append(rates[one][0])
                found.two_workers.append(rates[two][0])
                found.cpu_ratios.append(2 * rates[two][1] / rates[one][1])
    return found
