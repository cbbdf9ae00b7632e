"""When requests are due: Poisson arrivals that know nothing of the server, so it cannot slow them.

Not for waiting and sending: `sender.py`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from loadtest.load_shapes import LoadShape


def poisson_arrivals(
    shape: LoadShape, rng: random.Random, *, share: float = 1.0, start_s: float = 0.0
) -> Iterator[float]:
    """Due times in seconds from the start of the run, rising, until its end.

    Thinning: arrivals at the shape's highest rate, each kept with the share that its moment's rate
    has of that. Sources of a share each make up one Poisson process of the whole rate.

    Args:
        shape: the rate of all sources together.
        rng: of this source alone.
        share: this source's part of the rate.
        begin_s: where this source begins, when it starts later than the run.
    """
    t = start_s
    while True:
        t += rng.expovariate(shape.peak_rate * share)
        if t >= shape.duration_s:
            return
        if rng.random() * shape.peak_rate < shape.rate_at(t):
            yield t
