import random

import numpy as np
import pytest

from export.bench.batching_benefit import fill_candidates
from export.bench.queue_simulation import interpolated_seconds, simulate_queue


def test_interpolated_seconds_between_sizes_is_linear():
    costs = {1: 2.0, 2: 3.0, 4: 5.0}

    assert [interpolated_seconds(costs, n) for n in (1, 2, 3, 4, 9)] == [2.0, 3.0, 4.0, 5.0, 5.0]


def test_simulate_queue_sparse_arrivals_run_alone():
    for costs in ({1: 0.002}, {1: 0.002, 8: 0.004}):
        waits = simulate_queue(costs, 0.001, rate=1e-6, arrival_count=50, rng=random.Random(1))
        assert waits == pytest.approx([0.003] * 50)


def test_simulate_queue_overload_is_absorbed_by_batches():
    # 1,000 a second arrive; alone 500 a second are answered, eight in a run 2,000
    alone = simulate_queue({1: 0.002}, 0.0, 1000.0, 4000, random.Random(2))
    batched = simulate_queue({1: 0.002, 8: 0.004}, 0.0, 1000.0, 4000, random.Random(2))

    # 4,000 arrive in 4 s and take 8 s alone: the last waits about 4 s
    assert max(alone) == pytest.approx(4.0, rel=0.1)
    assert max(batched) < 0.02


def test_fill_candidates_takes_next_requests_candidates_and_noise():
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

    wide = fill_candidates(inputs, 4)

    assert wide["candidates"][:, :, 0].tolist() == [[0, 1, 3, 0], [3, 0, 1, 3]]
    assert (wide["noise_item"][:, 0, 0] == wide["candidates"][:, :, 0] + 100).all()
    assert (wide["conversion_worth"] == wide["candidates"][:, :, 0] + 50).all()
    assert wide["cand_valid"].all()
