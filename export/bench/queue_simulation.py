"""Simulates a queue in front of one core that answers requests one by one or in batches.

Plain arithmetic on given times: knows neither graphs nor artifacts.
"""

from __future__ import annotations

import random
from itertools import pairwise

BATCH_SIZES = (1, 2, 4, 8)
BatchSeconds = dict[int, float]  # requests in a run -> seconds of that run


def interpolated_seconds(measured: BatchSeconds, batch_size: int) -> float:
    """Seconds of a run with this many requests, interpolated between measured sizes."""
    known = sorted(measured)
    for low, high in pairwise(known):
        if low <= batch_size <= high:
            share = (batch_size - low) / (high - low)
            return measured[low] * (1 - share) + measured[high] * share
    return measured[known[-1]] if batch_size >= known[-1] else measured[known[0]]


def simulate_queue(
    measured: BatchSeconds, overhead_s: float, rate: float, arrival_count: int, rng: random.Random
) -> list[float]:
    """Seconds from arrival to answer of Poisson arrivals at `rate` per second.

    The core batches all waiting requests, up to the largest measured size, without delay.
    It spends `other_s` per request beside the run; a run answers its requests at its end.
    """
    most = max(measured)
    times: list[float] = []
    now = 0.0
    for _ in range(arrival_count):
        now += rng.expovariate(rate)
        times.append(now)
    waits: list[float] = []
    free, at = 0.0, 0
    while at < arrival_count:
        begin = max(free, times[at])
        end = at + 1
        while end < arrival_count and end - at < most and times[end] <= begin:
            end += 1
        free = begin + interpolated_seconds(measured, end - at) + overhead_s * (end - at)
        waits += [free - arrived for arrived in times[at:end]]
        at = end
    return waits
