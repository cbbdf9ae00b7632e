"""The fast form for one request encodes as the batched encoder does, bit by bit."""

import math

import numpy as np
import pytest

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.errors import ValueRejected
from model.contract.schema.declared import ITEM_ID, UPSTREAM_SCORE, USER_ID, FieldKind, FieldScope
from model.contract.schema.fitted import FittedField, FittedSchema, feedback_fields, id_field
from model.contract.schema.item_table import ItemTable, item_keys
from model.contract.store.user_record import UserRecord

WIDTH = 5  # item columns of the shared schema: id, brand, two tags, price


def encode_single_and_batched(encoder, scores, values, count):
    """The same candidates by the two forms; the fast one stands behind item rows."""
    table = np.arange((count + 1) * WIDTH, dtype=np.int32).reshape(count + 1, WIDTH)
    places = np.arange(count)[::-1].copy()
    places[1::3] = -1  # the table's last row
    fast, unknown = encoder.request_encoder.encode_candidates(places, table, scores, values)
    assert unknown == (places < 0).sum()
    assert fast.dtype == np.int32
    assert fast[:, :WIDTH].tolist() == table[places].tolist()
    whole = np.ones(count, dtype=bool)
    return fast[:, WIDTH:].tolist(), encoder.encode_candidate_scope(scores, whole, values).tolist()


@pytest.mark.parametrize("count", [1, 2, 9, 100, 1024, 1025])
def test_encode_candidates_scores_equal_batch_encoding(encoder, count):
    rng = np.random.default_rng(count)
    for share in (0.0, 0.3, 1.0):
        scores = rng.integers(-3, 4, size=count).astype(np.float64)
        scores[rng.random(count) < 0.1] = -0.0
        scores[rng.random(count) < 0.1] = np.inf
        scores[rng.random(count) < 0.1] = -np.inf
        scores[rng.random(count) < share] = np.nan
        distance = [None if rng.random() < 0.2 else rng.uniform(0, 4) for _ in range(count)]

        fast, batched = encode_single_and_batched(encoder, scores, {"distance": distance}, count)

        assert fast == batched


@pytest.mark.parametrize("count", [1, 2, 3, 52, 100, 1030])
def test_encode_candidates_sorted_scores_equal_batch_encoding(encoder, count):
    falling = np.linspace(3.0, -4.0, count)
    broken = {"none": falling, "all gaps": np.full(count, np.nan), "rising": falling[::-1].copy()}
    for at in (0, count // 2, count - 1):
        for value in (np.nan, falling[max(at - 1, 0)], np.inf, -np.inf):
            broken[f"{value} at {at}"] = falling.copy()
            broken[f"{value} at {at}"][at] = value

    for name, scores in broken.items():
        fast, batched = encode_single_and_batched(encoder, scores, {}, count)
        assert fast == batched, name


def test_encode_candidates_absent_values_are_missing(encoder):
    fast, batched = encode_single_and_batched(encoder, None, {}, 4)

    assert fast == batched
    assert fast[0] == fast[3][:1] + fast[0][1:2] + fast[3][2:]  # they differ by their rank alone
    assert encode_single_and_batched(encoder, None, {}, 0) == ([], [])


def test_encode_candidates_wrong_column_length_is_rejected(encoder):
    table = np.zeros((4, WIDTH), dtype=np.int32)
    with pytest.raises(ValueRejected, match="2 values, 3 expected"):
        encoder.request_encoder.encode_candidates(
            np.arange(3), table, None, {"distance": [1.0, 2.0]}
        )
    with pytest.raises(ValueError, match="2 scores of 3 candidates"):
        encoder.request_encoder.encode_candidates(np.arange(3), table, np.ones(2), {})


def test_encode_candidates_without_rank_equals_batch_encoding():
    badges = FittedField(
        name="badges",
        scope=FieldScope.CANDIDATE,
        kind=FieldKind.MULTI,
        size=2,
        values=("new", "hot"),
        width=2,
    )
    score = FittedField(
        name=UPSTREAM_SCORE,
        scope=FieldScope.CANDIDATE,
        kind=FieldKind.NUMERIC,
        size=3,
        rank_buckets=3,
    )
    ids = (id_field(ITEM_ID, FieldScope.ITEM, ["a"]), id_field(USER_ID, FieldScope.USER, ["u"]))
    encoder = FeatureEncoder(
        FittedSchema(fields=(ids[0], badges, score, *feedback_fields(), ids[1]))
    )
    table, scores = np.ones((4, 1), dtype=np.int32), np.array([math.nan, 2.0, 3.0])

    for values in ({"badges": [["hot", "new"], None, ["odd"]]}, {}):
        fast, _ = encoder.request_encoder.encode_candidates(np.arange(3), table, scores, values)
        batched = encoder.encode_candidate_scope(scores, np.ones(3, dtype=bool), values)
        assert fast[:, 1:].tolist() == batched.tolist()


def sample_table_of_items(encoder, count):
    """Items 0, 1, .. whose rows are all different, none of them padding."""
    rows = np.arange(1, (count + 1) * WIDTH + 1, dtype=np.int32).reshape(count + 1, WIDTH)
    return ItemTable([f"i{k}" for k in range(count)], rows[:-1], rows[-1])


def sample_user_record(table, items, clicked, converted):
    """Sessions of items by place; a place that the table has not is another's item."""
    names = [[f"i{place}" for place in session] for session in items]
    return UserRecord(
        written_at_ms=0,
        user_columns=np.zeros(1, dtype=np.int32),
        item_keys=np.array([item_keys(session) for session in names]),
        clicked=np.array(clicked, dtype=np.int8),
        converted=np.array(converted, dtype=np.int8),
    )


CLICKED = [[0, 1, -1], [1, 0, 1]]
CONVERTED = [[0, 1, -1], [-1, -1, 0]]


def test_encode_sessions_equals_item_and_feedback_encoding(encoder):
    table, items = sample_table_of_items(encoder, 5), [[4, 0, 1], [2, 2, 99]]
    record = sample_user_record(table, items, CLICKED, CONVERTED)

    rows, valid = encoder.request_encoder.encode_sessions(record, table, (2, 3))

    feedback = encoder.encode_feedback(np.maximum(CLICKED, 0), np.array(CONVERTED))
    places = table.row_indices_of_keys(record.item_keys)
    assert places[1].tolist() == [2, 2, -1]
    expected = np.concatenate([table.rows_with_default[places], feedback], axis=-1)
    expected[0, 2] = 0  # the empty slot
    assert rows.dtype == np.int32
    assert rows.tolist() == expected.tolist()
    assert valid.tolist() == [[True, True, False], [True, True, True]]


@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (4, 3), (2, 5), (3, 4), (1, 5), (5, 1)])
def test_encode_sessions_truncates_and_pads_to_shape(encoder, shape):
    table = sample_table_of_items(encoder, 5)
    record = sample_user_record(table, [[4, 0, 1], [2, 2, 3]], CLICKED, CONVERTED)
    whole, all_valid = encoder.request_encoder.encode_sessions(record, table, (2, 3))

    rows, valid = encoder.request_encoder.encode_sessions(record, table, shape)

    h, m = min(shape[0], 2), min(shape[1], 3)
    expected, expected_valid = np.zeros((*shape, WIDTH + 2)), np.zeros(shape, dtype=bool)
    expected[:h, :m], expected_valid[:h, :m] = whole[:h, :m], all_valid[:h, :m]
    assert rows.tolist() == expected.tolist()
    assert valid.tolist() == expected_valid.tolist()


@pytest.mark.parametrize("items", [0, 1])
def test_encode_sessions_items_outside_table_are_unknown(encoder, items):
    table = sample_table_of_items(encoder, items)
    record = sample_user_record(table, [[3, 4]], [[1, 0]], [[0, -1]])

    rows, _ = encoder.request_encoder.encode_sessions(record, table, (1, 2))

    assert rows[0, :, :WIDTH].tolist() == 2 * [table.default_row.tolist()]


@pytest.mark.parametrize("converted", [-1, 0, 1])
def test_encode_sessions_empty_slot_is_padding(encoder, converted):
    table = sample_table_of_items(encoder, 5)
    record = sample_user_record(table, [[1, 2]], [[-1, 0]], [[converted, converted]])

    rows, _ = encoder.request_encoder.encode_sessions(record, table, (1, 2))

    assert not rows[0, 0].any()
    assert rows[0, 1].all()
