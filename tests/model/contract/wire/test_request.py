import json
import math

import numpy as np
import pytest

from model.contract.errors import MalformedJson, RequestRejected
from model.contract.wire.request import parse_request
from model.contract.wire.size_limits import MAX_SEED

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


def request_json(**changes) -> bytes:
    return json.dumps({"user_id": "u", "candidates": ROWS} | changes).encode()


def violations_of(raw: bytes) -> dict[str, str]:
    with pytest.raises(RequestRejected) as caught:
        parse_request(raw)
    return dict(caught.value.violations)


def test_parse_request_rows_and_columns_agree():
    rows, columns = parse_request(request_json()), parse_request(request_json(candidates=COLUMNS))

    assert list(rows.item_ids) == list(columns.item_ids) == ["a", "b", "c"]
    assert {k: list(v) for k, v in rows.features.items()} == COLUMNS["features"]
    assert {k: list(v) for k, v in columns.features.items()} == COLUMNS["features"]
    assert rows.scores is not None
    assert columns.scores is not None
    np.testing.assert_array_equal(rows.scores, np.array([2.5, math.nan, 0.0]))
    np.testing.assert_array_equal(columns.scores, rows.scores)


def test_parse_request_without_scores_gives_none():
    assert parse_request(request_json(candidates={"item_id": ["a", "b"]})).scores is None
    rows = parse_request(request_json(candidates=[{"item_id": "a"}, {"item_id": "b"}])).scores
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
def test_parse_request_violation_names_field(changes, field, part):
    found = violations_of(request_json(**changes))

    assert field in found
    assert part in found[field]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400])
def test_parse_request_number_overflow_is_rejected(number):
    for where in ('"score":%s', '"features":{"f":%s}'):
        candidate = '{"item_id":"a",' + where % number + "}"
        raw = '{"user_id":"u","candidates":[' + candidate + "]}"
        assert any(key.startswith("candidates.0") for key in violations_of(raw.encode()))


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"user_id": "u",}', b"\xff\xfe", b"[" * 5000, b'{"user_id":"\\ud800"}', b"{}x"],
)
def test_parse_request_invalid_json_raises_malformed_json(raw):
    with pytest.raises(MalformedJson):
        parse_request(raw)


def test_parse_request_json_non_object_is_rejected():
    assert violations_of(b"[1, 2]") == {"body": "should be an object"}


def test_parse_request_largest_seed_and_id_are_accepted():
    request = parse_request(request_json(seed=MAX_SEED, user_id="ü" * 256))

    assert request.body.seed == 2**63 - 1
    assert len(request.user_id) == 256
