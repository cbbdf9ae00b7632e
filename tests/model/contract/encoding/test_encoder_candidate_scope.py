"""What is true of candidates only in one request: upstream score, upstream rank, own fields."""

import math

import numpy as np
import pytest

FIRST, MISSING = 2, 0
AT = {
    "upstream_score": 0,
    "upstream_rank": 1,
    "upstream_raw_score": 2,
    "distance": 3,
}  # columns, by the schema's order
BUCKETS = 4


def score_buckets_by_definition(scores, valid):
    """The definition, one cell at a time: share of scored candidates that score strictly higher."""
    out = np.zeros(scores.shape, dtype=int)
    for row in np.ndindex(scores.shape[:-1]):
        scored = [s for s, v in zip(scores[row], valid[row], strict=True) if v and not np.isnan(s)]
        for n, own in enumerate(scores[row]):
            if not valid[row][n]:
                out[(*row, n)] = -1
            elif np.isnan(own):
                out[(*row, n)] = MISSING
            else:
                higher = sum(s > own for s in scored)
                out[(*row, n)] = FIRST + math.floor(BUCKETS * higher / len(scored))
    return out


def score_column(encoder, scores, valid):
    rows = encoder.encode_candidate_scope(scores, valid, {"distance": [None] * int(valid.sum())})
    column = rows[..., AT["upstream_score"]]
    return np.where(valid, column - encoder.schema.block_starts["upstream_score"], column - 1)


def test_upstream_score_buckets_agree_with_loop(encoder):
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 6, size=(40, 3, 9)).astype(np.float64)  # few values: many ties
    scores[rng.random(scores.shape) < 0.2] = np.nan
    scores[rng.random(scores.shape) < 0.05] = -np.inf
    scores[rng.random(scores.shape) < 0.05] = np.inf
    valid = rng.random(scores.shape) < 0.8
    valid[0, 0] = False  # nothing there at all
    scores[1, 1] = np.nan  # nothing scored
    scores[2, 2] = 5.0  # all equal

    expected = score_buckets_by_definition(scores, valid)

    assert score_column(encoder, scores, valid).tolist() == expected.tolist()


def test_upstream_score_buckets_match_manual_values(encoder):
    scores = np.array([[0.9, 0.1, 0.5, 0.5], [np.nan, 7.0, 8.0, 1.0]], dtype=np.float32)
    valid = np.array([[True] * 4, [True, True, True, False]])

    # row 0: 0, 3, 1, 1 of 4 are higher; row 1: of two scored, 1 and 0 are higher
    assert score_column(encoder, scores, valid).tolist() == [[2, 5, 3, 3], [MISSING, 4, 2, -1]]


def test_upstream_score_buckets_depend_on_order_only(encoder):
    scores = np.array([[0.9, 0.1, 0.5, 99.0], [3.0, 2.0, 1.0, np.nan]])
    valid = np.array([[True, True, True, False]] * 2)
    assert (
        score_column(encoder, scores, valid)[:, :3].tolist()
        == score_column(encoder, 1000 * scores[:, :3] - 7, valid[:, :3]).tolist()
    )


def test_upstream_scores_absent_are_missing(encoder):
    valid = np.array([[True, True], [True, False]])
    nothing = score_column(encoder, None, valid)

    assert nothing.tolist() == [[MISSING, MISSING], [MISSING, -1]]
    assert score_column(encoder, np.zeros((2, 2)), valid).tolist() == [[FIRST, FIRST], [FIRST, -1]]


def test_upstream_rank_is_candidate_index(encoder):
    valid = np.ones((2, 7), dtype=bool)
    valid[1, 3:] = False
    rows = encoder.encode_candidate_scope(None, valid, {})
    rank = rows[..., AT["upstream_rank"]]
    first = encoder.schema.block_starts["upstream_rank"]

    # edges 1, 2, 5: place 0 | 1 | 2 3 4 | 5 6
    assert (rank[0] - first).tolist() == [2, 3, 4, 4, 4, 5, 5]
    assert rank[1].tolist() == [first + 2, first + 3, first + 4, 0, 0, 0, 0]


def test_raw_score_is_independent_of_request(encoder):
    scores = np.array([[2.0, 0.7, np.nan], [0.7, -np.inf, 9.0]])
    valid = np.array([[True, True, True], [True, True, False]])

    rows = encoder.encode_candidate_scope(scores, valid, {})[..., AT["upstream_raw_score"]]

    first = encoder.schema.block_starts["upstream_raw_score"]
    # edges -1, .5, 2: an edge belongs to the bucket above it
    assert rows.tolist() == [
        [first + FIRST + 3, first + FIRST + 2, first + MISSING],
        [first + FIRST + 2, first + FIRST, 0],
    ]
    nothing = encoder.encode_candidate_scope(None, valid, {})[..., AT["upstream_raw_score"]]
    assert nothing.tolist() == [[first + MISSING] * 3, [first + MISSING] * 2 + [0]]


@pytest.mark.parametrize("leading", [(), (1,), (2, 3)])
def test_encode_candidate_scope_padded_batch_equals_single_requests(encoder, leading):
    rng = np.random.default_rng(len(leading))
    batch = int(np.prod(leading))
    counts = rng.integers(1, 7, size=batch)
    valid = np.arange(6) < counts[:, None]
    scores = rng.normal(size=(batch, 6))
    distance = rng.uniform(0, 4, size=(batch, 6))

    padded = encoder.encode_candidate_scope(
        scores.reshape(*leading, 6),
        valid.reshape(*leading, 6),
        {"distance": distance[valid].tolist()},
    ).reshape(batch, 6, 4)

    for b, n in enumerate(counts):
        alone = encoder.encode_candidate_scope(
            scores[b, :n], np.ones(n, dtype=bool), {"distance": distance[b, :n].tolist()}
        )
        assert padded[b, :n].tolist() == alone.tolist()
        assert not padded[b, n:].any()


def test_encode_candidate_scope_without_candidates_gives_no_rows(encoder):
    assert encoder.encode_candidate_scope(None, np.ones(0, dtype=bool), {}).shape == (0, 4)
