"""Poisson arrivals, whose due times do not depend on the server's responses.

Waiting and sending are in `sender.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from loadtest.load_shapes import LoadShape


def poisson_arrivals(
    shape: LoadShape, rng: random.Random, *, share: float = 1.0, start_s: float = 0.0
) -> Iterator[float]:
    """Due times in seconds from the start of the run, ascending, until its end.

    Thinning: arrivals at the shape's peak rate, each kept with probability rate / peak rate at its
    time. Sources with a share each make up one Poisson process of the whole rate.

    Args:
        shape: the rate of all sources together.
        rng: of this source alone.
        share: this source's share of the rate.
        start_s: start of this source, when it starts later than the run.
    """
    t = start_s
    while True:
        t += rng.expovariate(shape.peak_rate * share)
        if t >= shape.duration_s:
            return
        if rng.random() * shape.peak_rate < shape.rate_at(t):
            yield t
