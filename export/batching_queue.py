"""A queue in front of one core that answers requests one by one or several in a run.

Plain arithmetic over given times: knows neither graphs nor artifacts.
"""

from __future__ import annotations

import random
from itertools import pairwise

SIZES = (1, 2, 4, 8)
Costs = dict[int, float]  # requests in a run -> seconds of that run


def seconds_of(costs: Costs, waiting: int) -> float:
    """Seconds of a run of so many requests, between two measured sizes on the line."""
    known = sorted(costs)
    for low, high in pairwise(known):
        if low <= waiting <= high:
            share = (waiting - low) / (high - low)
            return costs[low] * (1 - share) + costs[high] * share
    return costs[known[-1]] if waiting >= known[-1] else costs[known[0]]


def replay(
    costs: Costs, other_s: float, rate: float, arrivals: int, rng: random.Random
) -> list[float]:
    """Seconds from arrival to answer of Poisson arrivals at `rate` a second.

    The core takes whoever waits, at most the largest size of `costs`, never waits for more to come,
    and spends `other_s` on each beside the run. All of one run are answered at its end.
    """
    most = max(costs)
    times: list[float] = []
    now = 0.0
    for _ in range(arrivals):
        now += rng.expovariate(rate)
        times.append(now)
    waits: list[float] = []
    free, at = 0.0, 0
    while at < arrivals:
        begin = max(free, times[at])
        end = at + 1
        while end < arrivals and end - at < most and times[end] <= begin:
            end += 1
        free = begin + seconds_of(costs, end - at) + other_s * (end - at)
        waits += [free - arrived for arrived in times[at:end]]
        at = end
    return waits
