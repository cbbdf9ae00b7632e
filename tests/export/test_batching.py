import random

import numpy as np
import pytest

from export.batching import widened
from export.batching_queue import replay, seconds_of


def test_a_run_between_two_measured_sizes_costs_what_lies_between():
    costs = {1: 2.0, 2: 3.0, 4: 5.0}

    assert [seconds_of(costs, n) for n in (1, 2, 3, 4, 9)] == [2.0, 3.0, 4.0, 5.0, 5.0]


def test_far_apart_arrivals_cost_one_run_each_whether_batched_or_not():
    for costs in ({1: 0.002}, {1: 0.002, 8: 0.004}):
        waits = replay(costs, 0.001, rate=1e-6, arrivals=50, rng=random.Random(1))
        assert waits == pytest.approx([0.003] * 50)


def test_a_queue_that_cannot_keep_up_alone_can_when_a_run_takes_eight():
    # 1,000 a second arrive; alone 500 a second are answered, eight in a run 2,000
    alone = replay({1: 0.002}, 0.0, 1000.0, 4000, random.Random(2))
    batched = replay({1: 0.002, 8: 0.004}, 0.0, 1000.0, 4000, random.Random(2))

    # 4,000 arrive in 4 s and take 8 s alone: the last waits about 4 s
    assert max(alone) == pytest.approx(4.0, rel=0.1)
    assert max(batched) < 0.02


def test_requests_are_filled_up_with_the_next_ones_candidates_and_their_noise():
    valid = np.array([[True, True, False], [True, False, False]])
    candidates = np.arange(6).reshape(2, 3, 1)
    noise = candidates.reshape(2, 1, 1, 3) + 100.0  # tells whose it is
    worth = candidates[..., 0] + 50.0
    inputs = {
        "cand_valid": valid,
        "candidates": candidates,
        "noise_item": noise,
        "conversion_worth": worth,
    }

    wide = widened(inputs, 4)

    assert wide["candidates"][:, :, 0].tolist() == [[0, 1, 3, 0], [3, 0, 1, 3]]
    assert (wide["noise_item"][:, 0, 0] == wide["candidates"][:, :, 0] + 100).all()
    assert (wide["conversion_worth"] == wide["candidates"][:, :, 0] + 50).all()
    assert wide["cand_valid"].all()
