"""The fast form for one request encodes as the batched encoder does, bit by bit."""

import math

import numpy as np
import pytest

from model.contract.encode import Encoder
from model.contract.errors import ValueRejected
from model.contract.fitted import FittedField, FittedSchema, feedback_fields, id_field
from model.contract.schema import ITEM_ID, UPSTREAM_SCORE, USER_ID, Kind, Scope

WIDTH = 5  # item columns of the shared schema: id, brand, two tags, price


def both(encoder, scores, values, count):
    """The same candidates by the two forms; the fast one stands behind item rows."""
    items = np.arange(count * WIDTH, dtype=np.int32).reshape(count, WIDTH)
    fast = encoder.one_request.encode_candidates(items, scores, values)
    assert fast.dtype == np.int32
    assert fast[:, :WIDTH].tolist() == items.tolist()
    whole = np.ones(count, dtype=bool)
    return fast[:, WIDTH:].tolist(), encoder.encode_candidate_scope(scores, whole, values).tolist()


@pytest.mark.parametrize("count", [1, 2, 9, 100, 1024, 1025])
def test_ties_gaps_and_infinite_scores_encode_as_in_a_batch(encoder, count):
    rng = np.random.default_rng(count)
    for share in (0.0, 0.3, 1.0):
        scores = rng.integers(-3, 4, size=count).astype(np.float64)
        scores[rng.random(count) < 0.1] = -0.0
        scores[rng.random(count) < 0.1] = np.inf
        scores[rng.random(count) < 0.1] = -np.inf
        scores[rng.random(count) < share] = np.nan
        distance = [None if rng.random() < 0.2 else rng.uniform(0, 4) for _ in range(count)]

        fast, batched = both(encoder, scores, {"distance": distance}, count)

        assert fast == batched


@pytest.mark.parametrize("count", [1, 2, 3, 52, 100, 1030])
def test_scores_that_fall_encode_as_in_a_batch_and_so_does_what_breaks_their_fall(encoder, count):
    falling = np.linspace(3.0, -4.0, count)
    broken = {"none": falling, "all gaps": np.full(count, np.nan), "rising": falling[::-1].copy()}
    for at in (0, count // 2, count - 1):
        for value in (np.nan, falling[max(at - 1, 0)], np.inf, -np.inf):
            broken[f"{value} at {at}"] = falling.copy()
            broken[f"{value} at {at}"][at] = value

    for name, scores in broken.items():
        fast, batched = both(encoder, scores, {}, count)
        assert fast == batched, name


def test_what_is_not_given_is_a_gap_in_both_forms(encoder):
    fast, batched = both(encoder, None, {}, 4)

    assert fast == batched
    assert fast[0] == fast[3][:1] + fast[0][1:2] + fast[3][2:]  # they differ by their rank alone
    assert both(encoder, None, {}, 0) == ([], [])


def test_a_column_of_another_length_is_refused(encoder):
    items = np.zeros((3, WIDTH), dtype=np.int32)
    with pytest.raises(ValueRejected, match="2 values, 3 expected"):
        encoder.one_request.encode_candidates(items, None, {"distance": [1.0, 2.0]})


def test_a_schema_without_rank_and_with_several_values_a_field_encodes_alike():
    badges = FittedField(
        name="badges",
        scope=Scope.CANDIDATE,
        kind=Kind.MULTI,
        size=2,
        values=("new", "hot"),
        width=2,
    )
    score = FittedField(
        name=UPSTREAM_SCORE, scope=Scope.CANDIDATE, kind=Kind.NUMERIC, size=3, rank_buckets=3
    )
    ids = (id_field(ITEM_ID, Scope.ITEM, ["a"]), id_field(USER_ID, Scope.USER, ["u"]))
    encoder = Encoder(FittedSchema(fields=(ids[0], badges, score, *feedback_fields(), ids[1])))
    items, scores = np.ones((3, 1), dtype=np.int32), np.array([math.nan, 2.0, 3.0])

    for values in ({"badges": [["hot", "new"], None, ["odd"]]}, {}):
        fast = encoder.one_request.encode_candidates(items, scores, values)
        batched = encoder.encode_candidate_scope(scores, np.ones(3, dtype=bool), values)
        assert fast[:, 1:].tolist() == batched.tolist()


def test_sessions_encode_as_items_and_feedback_apart_and_empty_slots_are_padding(encoder):
    clicked = np.array([[0, 1, -1], [1, 0, 1]], dtype=np.int8)
    converted = np.array([[0, 1, -1], [-1, -1, 0]], dtype=np.int8)
    items = np.arange(1, 2 * 3 * WIDTH + 1, dtype=np.int32).reshape(2, 3, WIDTH)

    rows = encoder.one_request.encode_sessions(items, clicked, converted)

    feedback = encoder.encode_feedback(np.maximum(clicked, 0), converted)
    expected = np.concatenate([items, feedback], axis=-1)
    expected[0, 2] = 0  # the empty slot
    assert rows.dtype == np.int32
    assert rows.tolist() == expected.tolist()


@pytest.mark.parametrize("converted", [-1, 0, 1])
def test_an_empty_slot_is_padding_whatever_else_its_record_says(encoder, converted):
    items = np.ones((1, 2, WIDTH), dtype=np.int32)
    clicked = np.array([[-1, 0]], dtype=np.int8)

    rows = encoder.one_request.encode_sessions(items, clicked, np.full_like(clicked, converted))

    assert not rows[0, 0].any()
    assert rows[0, 1].all()
