import json
import math

import numpy as np
import pytest

from model.contract.errors import MalformedJson, RequestRejected
from model.contract.request import parse_request
from model.contract.wire_limits import MAX_SEED

ROWS = [
    {"item_id": "a", "score": 2.5, "features": {"distance": 1.5}},
    {"item_id": "b"},
    {"item_id": "c", "score": 0, "features": {"tags": ["x", "y"]}},
]
COLUMNS = {
    "item_id": ["a", "b", "c"],
    "score": [2.5, None, 0],
    "features": {"distance": [1.5, None, None], "tags": [None, None, ["x", "y"]]},
}


def body(**changes) -> bytes:
    return json.dumps({"user_id": "u", "candidates": ROWS} | changes).encode()


def broken(raw: bytes) -> dict[str, str]:
    with pytest.raises(RequestRejected) as caught:
        parse_request(raw)
    return dict(caught.value.broken)


def test_rows_and_columns_become_the_same_request():
    rows, columns = parse_request(body()), parse_request(body(candidates=COLUMNS))

    assert list(rows.item_ids) == list(columns.item_ids) == ["a", "b", "c"]
    assert {k: list(v) for k, v in rows.features.items()} == COLUMNS["features"]
    assert {k: list(v) for k, v in columns.features.items()} == COLUMNS["features"]
    assert rows.scores is not None
    assert columns.scores is not None
    np.testing.assert_array_equal(rows.scores, np.array([2.5, math.nan, 0.0]))
    np.testing.assert_array_equal(columns.scores, rows.scores)


def test_a_request_without_scores_has_none_rather_than_zeros():
    assert parse_request(body(candidates={"item_id": ["a", "b"]})).scores is None
    rows = parse_request(body(candidates=[{"item_id": "a"}, {"item_id": "b"}])).scores
    assert rows is not None
    assert np.isnan(rows).all()


@pytest.mark.parametrize(
    ("changes", "field", "part"),
    [
        ({"user_id": ""}, "user_id", "at least 1 character"),
        ({"user_id": "u" * 257}, "user_id", "at most 256 characters"),
        ({"user_id": 7}, "user_id", "string"),
        ({"candidates": []}, "candidates", "at least 1 item"),
        ({"candidates": {"item_id": []}}, "candidates.item_id", "at least 1 item"),
        ({"candidates": "abc"}, "candidates", "a list of objects or an object of columns"),
        ({"candidates": [{"item_id": "a"}, {"item_id": "a"}]}, "candidates", "'a' stands twice"),
        ({"candidates": {"item_id": ["a", "a"]}}, "candidates", "'a' stands twice"),
        ({"candidates": [{"item_id": ""}]}, "candidates.0.item_id", "at least 1 character"),
        ({"candidates": [{"id": "a"}]}, "candidates.0.id", "not permitted"),
        ({"candidates": [{"item_id": "a", "score": True}]}, "candidates.0.score", "number"),
        ({"candidates": [{"item_id": "a", "score": "1"}]}, "candidates.0.score", "number"),
        (
            {"candidates": {"item_id": ["a", "b"], "score": [1.0]}},
            "candidates.score",
            "1 values for 2 candidates",
        ),
        (
            {"candidates": {"item_id": ["a", "b"], "features": {"f": [1.0, 2.0, 3.0]}}},
            "candidates.features.f",
            "3 values for 2 candidates",
        ),
        (
            {"candidates": [{"item_id": "a", "features": {"f": {"x": 1}}}]},
            "candidates.0.features.f",
            "takes a finite number, a string, a list of strings or null",
        ),
        (
            {"candidates": {"item_id": ["a"], "features": {"f": [[1]]}}},
            "candidates.features.f.0",
            "takes a finite number, a string, a list of strings or null",
        ),
        ({"context": {"device": True}}, "context.device", "takes a finite number"),
        ({"list_size": 4}, "list_size", "more than the 3 candidates"),
        ({"list_size": 0}, "list_size", "greater than or equal to 1"),
        ({"list_size": 2.0}, "list_size", "integer"),
        ({"num_lists": 0}, "num_lists", "greater than or equal to 1"),
        ({"seed": -1}, "seed", "greater than or equal to 0"),
        ({"seed": MAX_SEED + 1}, "seed", "less than or equal to"),
        ({"budget_ms": 0}, "budget_ms", "greater than 0"),
        ({"explain": 1}, "explain", "boolean"),
        ({"objective": {"clicks": 1.0}}, "objective.clicks", "not permitted"),
        ({"objective": {"click": -1.0}}, "objective.click", "greater than or equal to 0"),
        ({"constraints": {"pin": []}}, "constraints.pin", "not permitted"),
        ({"surprise": 1}, "surprise", "not permitted"),
    ],
)
def test_a_broken_rule_is_named_with_its_field(changes, field, part):
    found = broken(body(**changes))

    assert field in found
    assert part in found[field]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_numbers_that_no_float_can_hold_are_refused_wherever_they_stand(number):
    for where in ('"score":%s', '"features":{"f":%s}'):
        candidate = '{"item_id":"a",' + where % number + "}"
        raw = '{"user_id":"u","candidates":[' + candidate + "]}"
        assert any(key.startswith("candidates.0") for key in broken(raw.encode()))


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"user_id": "u",}', b"\xff\xfe", b"[" * 5000, b'{"user_id":"\\ud800"}', b"{}x"],
)
def test_what_is_not_json_says_so_and_nothing_else(raw):
    with pytest.raises(MalformedJson):
        parse_request(raw)


def test_json_that_is_no_object_is_a_broken_rule_not_broken_json():
    assert broken(b"[1, 2]") == {"body": "should be an object"}


def test_the_largest_seed_and_the_longest_id_are_taken():
    request = parse_request(body(seed=MAX_SEED, user_id="ü" * 256))

    assert request.body.seed == 2**63 - 1
    assert len(request.user_id) == 256
