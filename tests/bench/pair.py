"""Two worker processes on two cores against one process on one."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.callers import Callers
from tests.bench.contenders import Contender
from tests.bench.machine import cpu_seconds, move_to
from tests.bench.plan import Plan

_MIXED = 8  # connections a worker: they are shared out by chance


@dataclass(frozen=True, slots=True)
class Scaling:
    """Requests a second of one and of two, a value a round.

    by_cpu: the same ratio with the load generator's and the store's share of the cores taken off.
    shares: part of the two workers' CPU time that the busier one had.
    """

    one: list[float]
    two: list[float]
    by_cpu: list[float]
    shares: list[float]

    @property
    def ratio(self) -> float:
        """Two against one, the median of the rounds."""
        return statistics.median(b / a for a, b in zip(self.one, self.two, strict=True))


def spread_out(workers: Contender, cores: Sequence[int]) -> None:
    """One worker a core."""
    for pid, core in zip(workers.pids, cores, strict=True):
        move_to(pid, core)


def scaling(
    one: Contender, two: Contender, bodies: list[bytes], plan: Plan, rng: random.Random
) -> Scaling:
    """Rounds of both, interleaved. The load shares the second core with the second worker."""
    connections = {one: plan.connections, two: _MIXED * 2}
    found = Scaling([], [], [], [])
    with Callers(one.port, bodies) as of_one, Callers(two.port, bodies) as of_two:
        callers = {one: of_one, two: of_two}
        for turn in range(plan.pair_rounds + 1):
            rates: dict[Contender, tuple[float, float]] = {}
            for contender in rng.sample([one, two], 2):
                before = {pid: cpu_seconds(pid) for pid in contender.pids}
                heard = callers[contender].closed(plan.closed_s, connections[contender])
                spent = [cpu_seconds(pid) - was for pid, was in before.items()]
                rates[contender] = heard.rate, heard.answers / sum(spent)
                if contender is two and turn:
                    found.shares.append(max(spent) / sum(spent))
            if turn:  # the first round fills caches
                found.one.append(rates[one][0])
                found.two.append(rates[two][0])
                found.by_cpu.append(2 * rates[two][1] / rates[one][1])
    return found
