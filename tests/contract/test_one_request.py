"""The fast form for one request encodes as the batched encoder does, bit by bit."""

import math

import numpy as np
import pytest

from model.contract.encode import Encoder
from model.contract.errors import ValueRejected
from model.contract.fitted import FittedField, FittedSchema, feedback_fields, id_field
from model.contract.items import ItemTable, item_keys
from model.contract.schema import ITEM_ID, UPSTREAM_SCORE, USER_ID, Kind, Scope
from model.contract.store_layout import UserRecord

WIDTH = 5  # item columns of the shared schema: id, brand, two tags, price


def both(encoder, scores, values, count):
    """The same candidates by the two forms; the fast one stands behind item rows."""
    table = np.arange((count + 1) * WIDTH, dtype=np.int32).reshape(count + 1, WIDTH)
    places = np.arange(count)[::-1].copy()
    places[1::3] = -1  # the table's last row
    fast, unknown = encoder.one_request.encode_candidates(places, table, scores, values)
    assert unknown == (places < 0).sum()
    assert fast.dtype == np.int32
    assert fast[:, :WIDTH].tolist() == table[places].tolist()
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
    table = np.zeros((4, WIDTH), dtype=np.int32)
    with pytest.raises(ValueRejected, match="2 values, 3 expected"):
        encoder.one_request.encode_candidates(np.arange(3), table, None, {"distance": [1.0, 2.0]})
    with pytest.raises(ValueError, match="2 scores of 3 candidates"):
        encoder.one_request.encode_candidates(np.arange(3), table, np.ones(2), {})


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
    table, scores = np.ones((4, 1), dtype=np.int32), np.array([math.nan, 2.0, 3.0])

    for values in ({"badges": [["hot", "new"], None, ["odd"]]}, {}):
        fast, _ = encoder.one_request.encode_candidates(np.arange(3), table, scores, values)
        batched = encoder.encode_candidate_scope(scores, np.ones(3, dtype=bool), values)
        assert fast[:, 1:].tolist() == batched.tolist()


def table_of(encoder, count):
    """Items 0, 1, .. whose rows are all different, none of them padding."""
    rows = np.arange(1, (count + 1) * WIDTH + 1, dtype=np.int32).reshape(count + 1, WIDTH)
    return ItemTable([f"i{k}" for k in range(count)], rows[:-1], rows[-1])


def record_of(table, items, clicked, converted):
    """Sessions of items by place; a place that the table has not is another's item."""
    names = [[f"i{place}" for place in session] for session in items]
    return UserRecord(
        written_ms=0,
        columns=np.zeros(1, dtype=np.int32),
        item_keys=np.array([item_keys(session) for session in names]),
        clicked=np.array(clicked, dtype=np.int8),
        converted=np.array(converted, dtype=np.int8),
    )


CLICKED = [[0, 1, -1], [1, 0, 1]]
CONVERTED = [[0, 1, -1], [-1, -1, 0]]


def test_sessions_encode_as_items_and_feedback_apart_and_empty_slots_are_padding(encoder):
    table, items = table_of(encoder, 5), [[4, 0, 1], [2, 2, 99]]
    record = record_of(table, items, CLICKED, CONVERTED)

    rows, valid = encoder.one_request.encode_sessions(record, table, (2, 3))

    feedback = encoder.encode_feedback(np.maximum(CLICKED, 0), np.array(CONVERTED))
    places = table.places_of_keys(record.item_keys)
    assert places[1].tolist() == [2, 2, -1]
    expected = np.concatenate([table.padded_rows[places], feedback], axis=-1)
    expected[0, 2] = 0  # the empty slot
    assert rows.dtype == np.int32
    assert rows.tolist() == expected.tolist()
    assert valid.tolist() == [[True, True, False], [True, True, True]]


@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (4, 3), (2, 5), (3, 4), (1, 5), (5, 1)])
def test_sessions_are_cut_and_padded_to_the_graphs_shape(encoder, shape):
    table = table_of(encoder, 5)
    record = record_of(table, [[4, 0, 1], [2, 2, 3]], CLICKED, CONVERTED)
    whole, all_valid = encoder.one_request.encode_sessions(record, table, (2, 3))

    rows, valid = encoder.one_request.encode_sessions(record, table, shape)

    h, m = min(shape[0], 2), min(shape[1], 3)
    expected, expected_valid = np.zeros((*shape, WIDTH + 2)), np.zeros(shape, dtype=bool)
    expected[:h, :m], expected_valid[:h, :m] = whole[:h, :m], all_valid[:h, :m]
    assert rows.tolist() == expected.tolist()
    assert valid.tolist() == expected_valid.tolist()


@pytest.mark.parametrize("items", [0, 1])
def test_past_items_of_a_table_that_holds_hardly_any_are_unknown_ones(encoder, items):
    table = table_of(encoder, items)
    record = record_of(table, [[3, 4]], [[1, 0]], [[0, -1]])

    rows, _ = encoder.one_request.encode_sessions(record, table, (1, 2))

    assert rows[0, :, :WIDTH].tolist() == 2 * [table.default_row.tolist()]


@pytest.mark.parametrize("converted", [-1, 0, 1])
def test_an_empty_slot_is_padding_whatever_else_its_record_says(encoder, converted):
    table = table_of(encoder, 5)
    record = record_of(table, [[1, 2]], [[-1, 0]], [[converted, converted]])

    rows, _ = encoder.one_request.encode_sessions(record, table, (1, 2))

    assert not rows[0, 0].any()
    assert rows[0, 1].all()
