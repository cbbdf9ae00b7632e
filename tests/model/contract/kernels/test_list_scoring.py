"""Loops over lists equal their numpy references, for any shape, stride and special value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.contract.kernels.list_scoring import (
    count_changes_and_clicks,
    ensemble_mean,
    list_rewards,
    round_to,
    score_and_select_list,
)
from tests.model.contract.kernels.implementations import LOOPS, assert_same_as_reference, loop_of

SEEDS = st.integers(0, 2**32 - 1)
SPECIAL = [0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, 1e-310, 1e308]
each_loop = pytest.mark.parametrize("loop", LOOPS)
without_deadline = settings(deadline=None)  # the first example compiles


def numbers(rng, shape, dtype=np.float64, special=0.1):
    """Random numbers, some of them special values."""
    drawn = rng.normal(size=shape)
    with np.errstate(over="ignore"):
        return np.where(rng.random(shape) < special, rng.choice(SPECIAL, shape), drawn).astype(
            dtype
        )


def strided(rng, array):
    """The same numbers, contiguous or as every second one of a larger array."""
    if rng.random() < 0.5:
        return array
    larger = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), dtype=array.dtype)
    larger[..., ::2] = array
    return larger[..., ::2]


@each_loop
@without_deadline
@given(
    seed=SEEDS,
    shape=st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 12)),
    dtype=st.sampled_from([np.float32, np.float64]),
    with_values=st.booleans(),
    with_slots=st.booleans(),
    weights=st.tuples(*[st.sampled_from([0.0, 1.0, 0.3, 2.5])] * 3),
)
def test_list_rewards_equal_reference(loop, seed, shape, dtype, with_values, with_slots, weights):
    rng = np.random.default_rng(seed)
    _, requests, lists, slots = shape
    values = numbers(rng, (requests, lists, slots)) if with_values else np.empty((0, 0, 0))
    valid = rng.random((requests, slots)) < 0.7 if with_slots else np.empty((0, 0), dtype=bool)
    inputs = [
        strided(rng, numbers(rng, shape, dtype)),
        strided(rng, numbers(rng, shape, dtype)),
        values,
        valid,
        rng.random(slots),
        *weights,
    ]
    assert_same_as_reference(list_rewards, loop, inputs, [np.empty(shape[:-1])])


@each_loop
@without_deadline
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 34)),
    risk_aversion=st.sampled_from([0.0, 0.5, 3.0]),
    special=st.sampled_from([0.0, 0.1]),
)
def test_selection_equals_reference(loop, seed, shape, risk_aversion, special):
    rng = np.random.default_rng(seed)
    rewards = numbers(rng, shape, special=special)
    if rng.random() < 0.3:
        rewards = rewards.round()  # ties
    outputs = [np.empty((shape[1], shape[2] - 1)), np.empty(shape[1], dtype=np.int64)]
    assert_same_as_reference(score_and_select_list, loop, [rewards, risk_aversion], outputs)


@each_loop
@without_deadline
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(1, 20), st.integers(1, 4), st.integers(1, 12)),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_ensemble_mean_equals_reference(loop, seed, shape, dtype):
    rng = np.random.default_rng(seed)
    inputs = [strided(rng, numbers(rng, shape, dtype)), int(rng.integers(shape[1]))]
    assert_same_as_reference(ensemble_mean, loop, inputs, [np.empty(shape[2])])


@each_loop
@without_deadline
@given(seed=SEEDS, count=st.integers(0, 40), steps=st.sampled_from([1.0, 100.0, 1e6]))
def test_rounding_equals_reference(loop, seed, count, steps):
    rng = np.random.default_rng(seed)
    values = numbers(rng, count)
    values = np.where(rng.random(count) < 0.3, (np.rint(values) + 0.5) / steps, values)  # halves
    assert_same_as_reference(round_to, loop, [values, steps], [np.empty(count)])


@each_loop
@without_deadline
@given(seed=SEEDS, slots=st.integers(1, 40), share=st.floats(0, 1))
def test_changes_and_clicks_equal_reference(loop, seed, slots, share):
    rng = np.random.default_rng(seed)
    served, start = (strided(rng, rng.integers(0, 3, slots).astype(np.int32)) for _ in range(2))
    inputs = (served, start, rng.random(slots), int(share * slots))

    assert loop_of(count_changes_and_clicks, loop)(*inputs) == count_changes_and_clicks.reference(
        *inputs
    )
