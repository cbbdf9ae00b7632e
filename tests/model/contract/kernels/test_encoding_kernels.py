"""Loops over a request's numbers equal their numpy references, for any shape and edge case."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.contract.kernels.encoding_kernels import (
    gather_rows,
    gather_sessions,
    holds_distinct_candidates,
    split_noise,
    write_bucket_column,
    write_rank_quantile_column,
)
from tests.model.contract.kernels.implementations import LOOPS, assert_same_as_reference, loop_of

SEEDS = st.integers(0, 2**32 - 1)
each_loop = pytest.mark.parametrize("loop", LOOPS)
without_deadline = settings(deadline=None)  # the first example compiles


def rows_of(rng, *shape):
    return rng.integers(0, 1000, shape, dtype=np.int32)


def scores_of(rng, count):
    """Numbers with ties, infinities and gaps."""
    scores = rng.normal(size=count).round(1)
    special = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], count)
    return np.where(rng.random(count) < 0.3, special, scores)


@each_loop
@without_deadline
@given(seed=SEEDS, count=st.integers(0, 30), items=st.integers(0, 9), suffix=st.integers(0, 4))
def test_gathered_rows_equal_reference(loop, seed, count, items, suffix):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 6))
    inputs = [
        rng.integers(-1, items, count),
        rows_of(rng, items + 1, width),
        rows_of(rng, suffix),
    ]
    outputs = [np.zeros((count, width + suffix), dtype=np.int32)]
    assert_same_as_reference(gather_rows, loop, inputs, outputs)


@each_loop
@without_deadline
@given(seed=SEEDS, count=st.integers(0, 30), buckets=st.integers(1, 12))
def test_bucket_column_equals_reference(loop, seed, count, buckets):
    rng = np.random.default_rng(seed)
    edges = np.append(np.sort(rng.normal(size=buckets - 1).round(1)), np.nan)
    inputs = [scores_of(rng, count), edges, rows_of(rng, buckets + 1), 1]
    assert_same_as_reference(
        write_bucket_column, loop, inputs, [np.zeros((count, 3), dtype=np.int32)]
    )


@each_loop
@without_deadline
@given(seed=SEEDS, count=st.integers(0, 30), buckets=st.integers(1, 20), gaps=st.booleans())
def test_rank_quantile_column_equals_reference(loop, seed, count, buckets, gaps):
    rng = np.random.default_rng(seed)
    scores = np.full(count, np.nan) if gaps else scores_of(rng, count)
    inputs = [scores, np.sort(scores), rows_of(rng, buckets + 1), 0]
    outputs = [np.zeros((count, 2), dtype=np.int32)]
    assert_same_as_reference(write_rank_quantile_column, loop, inputs, outputs)


@each_loop
@without_deadline
@given(
    seed=SEEDS,
    held=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    items=st.integers(0, 9),
)
def test_gathered_sessions_equal_reference(loop, seed, held, shape, items):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 5))
    known = np.unique(rng.integers(0, 2**64, items, dtype=np.uint64))
    keys = rng.integers(0, 2**64, held, dtype=np.uint64)
    if len(known):
        keys = np.where(rng.random(held) < 0.7, rng.choice(known, held), keys)
    inputs = [
        keys,
        rng.integers(-1, 2, held, dtype=np.int8),
        rng.integers(-1, 2, held, dtype=np.int8),
        known,
        rng.permutation(len(known)),
        rows_of(rng, len(known) + 1, width),
        rows_of(rng, 9, 2),
    ]
    outputs = [np.ones((*shape, width + 2), dtype=np.int32), np.ones(shape, dtype=bool)]
    assert_same_as_reference(gather_sessions, loop, inputs, outputs)


@each_loop
@without_deadline
@given(
    seed=SEEDS,
    shape=st.tuples(st.integers(0, 5), st.integers(1, 6)),
    candidates=st.integers(1, 40),
    lowest=st.sampled_from([-1, 0]),
    share=st.floats(0, 1),
)
def test_distinct_candidates_equal_reference(loop, seed, shape, candidates, lowest, share):
    rng = np.random.default_rng(seed)
    lists = rng.integers(lowest, candidates - lowest, shape, dtype=np.int32)
    if rng.random() < 0.5 and candidates >= shape[1]:
        lists = np.array([rng.permutation(candidates)[: shape[1]] for _ in lists], dtype=np.int32)
        lists = lists.reshape(shape)
    inputs = (lists, int(share * shape[1]), candidates)

    assert loop_of(holds_distinct_candidates, loop)(*inputs) == (
        holds_distinct_candidates.reference(*inputs)
    )


@each_loop
@without_deadline
@given(
    seed=SEEDS,
    shape=st.tuples(*[st.integers(1, 5)] * 4),
    factor=st.sampled_from([0.0, -1.0, 0.3, -0.7]),
)
def test_split_noise_equals_reference(loop, seed, shape, factor):
    rng = np.random.default_rng(seed)
    lists, edits, slots, candidates = shape
    noise = rng.gumbel(size=(lists - 1, edits * (slots + candidates))).astype(np.float32)
    outputs = [np.ones((lists, edits, width), dtype=np.float32) for width in (slots, candidates)]
    assert_same_as_reference(split_noise, loop, [noise, np.float32(factor)], outputs)
