"""What one column, one item, one user becomes."""

import math

import numpy as np
import pytest

MISSING, UNKNOWN, FIRST = 0, 1, 2  # places in a block, as `fitted` says


def local(encoder, name, values):
    """Places inside the field's block."""
    return (encoder.encode_field(name, values) - encoder.schema.block_starts[name]).tolist()


def test_encode_field_known_missing_and_unknown_values(encoder):
    assert local(encoder, "brand", ["bolt", None, "other", "acme", ""]) == [
        [FIRST + 1],
        [MISSING],
        [UNKNOWN],
        [FIRST],
        [UNKNOWN],
    ]


def test_encode_field_missing_and_unknown_follow_schema_defaults(encoder):
    # color: a gap is "blue" (place 3), a stranger is "red" (place 2); age: a gap is [18, 40)
    assert local(encoder, "color", [None, "green", "red", "blue"]) == [[3], [2], [2], [3]]
    assert local(encoder, "age", [None, math.nan, 17, 18, 40]) == [[3], [3], [2], [3], [4]]


def test_encode_field_number_equal_to_edge_goes_right(encoder):
    edges = [1.0, 2.5, 10.0]
    numbers = [-math.inf, -7, 0.999, 1, 1.0, 2.5, 9.9, 10, 1e300, math.inf]
    expected = [[FIRST + sum(n >= edge for edge in edges)] for n in numbers]

    assert local(encoder, "price", numbers) == expected
    assert expected[0] == [FIRST]
    assert expected[-1] == [FIRST + 3]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8, np.uint16, object])
def test_encode_field_numeric_lists_and_arrays_agree(encoder, dtype):
    numbers = [0, 1, 2, 30]

    from_array = encoder.encode_field("price", np.array(numbers, dtype=dtype))

    assert from_array.tolist() == encoder.encode_field("price", numbers).tolist()
    assert from_array.dtype == np.int32


def test_encode_field_multi_keeps_first_width_values(encoder):
    first = encoder.schema.block_starts["tags"]
    rows = encoder.encode_field(
        "tags", [["eco", "new", "sale"], ["sale"], [], None, ["huh", "eco"], ("new", "new")]
    )

    assert rows.tolist() == [
        [first + FIRST + 2, first + FIRST],
        [first + FIRST + 1, 0],  # 0 is padding
        [first + MISSING, 0],
        [first + MISSING, 0],
        [first + UNKNOWN, first + FIRST + 2],
        [first + FIRST, first + FIRST],
    ]


def test_encode_field_string_arrays_and_lists_agree(encoder):
    texts = ["bolt", "other"]
    assert local(encoder, "brand", np.array(texts)) == local(encoder, "brand", texts)
    assert local(encoder, "tags", [np.array(["eco"])]) == local(encoder, "tags", [["eco"]])


def test_encode_field_empty_column_gives_no_rows(encoder):
    assert encoder.encode_field("price", []).shape == (0, 1)
    assert encoder.encode_field("brand", []).shape == (0, 1)
    assert encoder.encode_field("tags", []).shape == (0, 2)


def test_encode_items_absent_column_is_missing(encoder):
    first = encoder.schema.block_starts
    rows = encoder.encode_items(np.array([2, -1]), {"price": [2.5, None]})

    assert rows.tolist() == [
        [
            first["item_id"] + FIRST + 2,
            first["brand"] + MISSING,
            first["tags"] + MISSING,
            0,
            first["price"] + FIRST + 2,
        ],
        [
            first["item_id"] + UNKNOWN,
            first["brand"] + MISSING,
            first["tags"] + MISSING,
            0,
            first["price"] + MISSING,
        ],
    ]
    assert encoder.default_item_row.tolist() == rows[1].tolist()
    assert encoder.item_column_spans == {
        "item_id": (0, 1),
        "brand": (1, 1),
        "tags": (2, 2),
        "price": (4, 1),
    }


def test_encode_users_and_context_are_separate(encoder):
    first = encoder.schema.block_starts
    users = encoder.encode_users(np.array([1, -1]), {"age": [50.0, None]})
    context = encoder.encode_context(2, {"color": ["blue", "green"]})

    assert users.tolist() == [
        [first["user_id"] + FIRST + 1, first["age"] + FIRST + 2],
        [first["user_id"] + UNKNOWN, first["age"] + 3],
    ]
    assert encoder.default_user_row.tolist() == users[1].tolist()
    assert context.tolist() == [[first["color"] + 3], [first["color"] + 2]]


def test_encode_ids_index_beyond_vocabulary_raises(encoder):
    assert encoder.encode_ids("item_id", np.array([[0, 2], [-1, 1]])).shape == (2, 2)
    with pytest.raises(ValueError, match="item_id has 3 ids, no place 3"):
        encoder.encode_ids("item_id", np.array([0, 3]))


@pytest.mark.parametrize("name", ["item_id", "user_id", "upstream_score"])
def test_encode_field_id_or_rank_field_raises(encoder, name):
    with pytest.raises(ValueError, match=name):
        encoder.encode_field(name, ["i1"])


def test_encode_feedback_unknown_conversion_is_missing(encoder):
    first = encoder.schema.block_starts
    clicks, conversions = np.array([[0, 1], [1, 0]]), np.array([[0, 1], [-1, -1]])
    rows = encoder.encode_feedback(clicks, conversions)

    assert (rows[..., 0] - first["clicked"]).tolist() == [[2, 3], [3, 2]]
    assert (rows[..., 1] - first["converted"]).tolist() == [[2, 3], [0, 0]]
    nothing_known = encoder.encode_feedback(clicks, None)
    assert (nothing_known[..., 1] - first["converted"]).tolist() == [[0, 0], [0, 0]]


def test_encoded_indices_stay_inside_block_of_field(encoder):
    schema = encoder.schema
    taken = {
        row: f.name
        for f in schema.fields
        for row in range(schema.block_starts[f.name], schema.block_starts[f.name] + f.block_size)
    }
    assert len(taken) == sum(f.block_size for f in schema.fields), "blocks overlap"
    assert sorted(taken) == list(range(1, schema.num_embeddings)), "a hole, or padding is taken"
    ends = {
        "brand": ["acme", "bolt", None, "?"],
        "price": [-math.inf, math.inf, None],
        "tags": [["eco", "?"], None],
        "age": [-math.inf, math.inf, None],
        "color": ["red", "blue", None, "?"],
        "distance": [-math.inf, math.inf, None],
    }
    for name, values in ends.items():
        held = set(encoder.encode_field(name, values).ravel().tolist()) - {0}
        assert {taken[row] for row in held} == {name}
