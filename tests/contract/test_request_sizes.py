"""A body costs what its bytes may cost: what would grow faster is refused before it is built."""

import json
import tracemalloc
from typing import Any

import pytest
from pydantic import ValidationError

from model.contract.errors import RequestRejected
from model.contract.request import RerankBody, RerankRequest, parse_request
from model.contract.wire_limits import MAX_FEATURES, MAX_ROW_VALUES

SLOW = {"objective": None}  # left to the public schema, and means the same
READINGS = pytest.mark.parametrize("more", [{}, SLOW], ids=["quick", "public schema"])


def read(candidates: Any, more: dict[str, Any]) -> RerankRequest:
    return parse_request(json.dumps({"user_id": "u", "candidates": candidates} | more).encode())


def broken(candidates: Any, more: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(RequestRejected) as caught:
        read(candidates, more)
    return dict(caught.value.broken)


def held_kb(raw: bytes) -> float:
    """The most memory that Python holds at once while it refuses this body."""
    tracemalloc.start()
    try:
        with pytest.raises(RequestRejected):
            parse_request(raw)
        return tracemalloc.get_traced_memory()[1] / 1024
    finally:
        tracemalloc.stop()


def rows(count: int, names: int, each: int) -> list[dict[str, Any]]:
    """`count` candidates that give `each` fields, of `names` different ones in all."""
    return [
        {"item_id": str(i), "features": {f"f{(i * each + j) % names}": 1.0 for j in range(each)}}
        for i in range(count)
    ]


@READINGS
def test_rows_with_a_field_of_their_own_each_are_refused_before_columns_are_built(more):
    raw = json.dumps({"user_id": "u", "candidates": rows(3000, 3000, 1)} | more).encode()

    assert broken(rows(3000, 3000, 1), more) == {
        "candidates.features": f"3000 names are more than {MAX_FEATURES}"
    }
    assert held_kb(raw) < 3000 * 3000 * 8 / 1024 / 4  # the columns' pointers alone are 4 times that


@READINGS
def test_as_many_names_as_are_allowed_are_taken_as_rows_and_as_columns(more):
    few = rows(2, MAX_FEATURES, MAX_FEATURES // 2)  # one half of the names each
    features = {f"f{i}": [1.0, 2.0] for i in range(MAX_FEATURES)}
    columns = {"item_id": ["0", "1"], "features": features}

    assert len(read(few, more).features) == MAX_FEATURES
    assert len(read(columns, more).features) == MAX_FEATURES
    few[0]["features"]["one more"] = 1.0
    features["one more"] = [1.0, 2.0]
    assert list(broken(few, more)) == ["candidates.features"]
    assert list(broken(columns, more)) == ["candidates.features"]


@READINGS
def test_one_rows_names_are_bounded_too(more):
    assert list(broken(rows(2, MAX_FEATURES + 1, MAX_FEATURES + 1), more)) == [
        "candidates.0.features"
    ]


@READINGS
def test_gaps_between_rows_are_bounded_and_full_columns_are_not(more):
    names = 64
    most = MAX_ROW_VALUES // names
    full = {
        "item_id": [str(i) for i in range(most + 1)],
        "features": {f"f{i}": [1.0] * (most + 1) for i in range(names)},
    }

    assert len(read(rows(most, names, 1), more)) == most
    assert broken(rows(most + 1, names, 1), more) == {
        "candidates.features": f"{names} names for {most + 1} rows are more than "
        f"{MAX_ROW_VALUES} values; send columns"
    }
    assert len(read(full, more)) == most + 1


@READINGS
def test_the_context_has_as_many_names_as_a_candidate(more):
    fields = {f"f{i}": 1.0 for i in range(MAX_FEATURES)}

    assert len(read(rows(1, 1, 1), more | {"context": fields}).body.context) == MAX_FEATURES
    assert list(broken(rows(1, 1, 1), more | {"context": fields | {"one more": 1.0}})) == [
        "context"
    ]


LONG = 20_000


@pytest.mark.parametrize(
    ("candidates", "field"),
    [
        ([0] * LONG, "candidates.0"),
        ({"item_id": [0] * LONG}, "candidates.item_id.0"),
        ({"item_id": ["a"], "score": ["x"] * LONG}, "candidates.score.0"),
        ({"item_id": ["a"], "features": {"f": [{}] * LONG}}, "candidates.features.f.0"),
        ([{"item_id": "a", "features": {"f": [0] * LONG}}], "candidates.0.features.f"),
    ],
)
def test_a_list_of_wrong_values_costs_one_error_and_names_its_first(candidates, field):
    raw = json.dumps({"user_id": "u", "candidates": candidates}).encode()
    with pytest.raises(ValidationError) as wrong:
        RerankBody.model_validate_json(raw)
    assert wrong.value.error_count() <= 2  # of the form that was meant, and of the other

    assert list(broken(candidates, {})) == [field]


def test_the_first_wrong_candidate_is_named_whole_and_beside_other_fields():
    wrong = [{"item_id": "a"}, {"item_id": "", "score": "x"}, {"item_id": 7}]

    found = broken(wrong, {"num_lists": 0})

    assert list(found) == ["candidates.1.item_id", "candidates.1.score", "num_lists"]


@pytest.mark.parametrize(
    "odd",
    [
        {"candidates": [{"item_id": "a"} | {f"k{i}": 0 for i in range(5000)}]},
        {"candidates": [{"item_id": "a", "features": {f"k{i}": {} for i in range(5000)}}]},
        {"context": {f"k{i}": True for i in range(5000)}},
        {f"k{i}": 0 for i in range(5000)},
    ],
    ids=["keys of a candidate", "features", "context", "keys of the body"],
)
def test_more_broken_rules_than_anyone_reads_are_counted_and_not_written_out(odd):
    assert broken(rows(1, 1, 1), odd) == {"body": "breaks more than 1000 rules: too many to name"}


def test_the_documented_schema_has_the_bounds():
    parts = RerankBody.model_json_schema()["$defs"]

    for name, properties in (
        ("Candidate", parts["Candidate"]["properties"]),
        ("CandidateColumns", parts["CandidateColumns"]["properties"]),
    ):
        assert properties["features"]["maxProperties"] == MAX_FEATURES, name
    offered = RerankBody.model_json_schema()["properties"]["candidates"]["anyOf"]
    assert offered[0] == {
        "items": {"$ref": "#/$defs/Candidate"},
        "minItems": 1,
        "type": "array",
    }
    assert parts["CandidateColumns"]["properties"]["item_id"]["minItems"] == 1
