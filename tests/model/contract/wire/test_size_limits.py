"""A body costs what its bytes may cost: what would grow faster is refused before it is built."""

import json
import tracemalloc
from typing import Any

import pytest
from pydantic import ValidationError

from model.contract.errors import RequestRejected
from model.contract.wire.request import RerankRequest, RerankRequestBody, parse_request
from model.contract.wire.size_limits import MAX_FEATURE_CELLS, MAX_FEATURE_NAMES

PYDANTIC_ONLY = {"objective": None}  # left to the public schema, and means the same
BOTH_PARSERS = pytest.mark.parametrize(
    "more", [{}, PYDANTIC_ONLY], ids=["fast decoder", "pydantic"]
)


def parse_candidates(candidates: Any, more: dict[str, Any]) -> RerankRequest:
    return parse_request(json.dumps({"user_id": "u", "candidates": candidates} | more).encode())


def candidate_violations(candidates: Any, more: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(RequestRejected) as caught:
        parse_candidates(candidates, more)
    return dict(caught.value.violations)


def peak_memory_kb(raw: bytes) -> float:
    """The most memory that Python holds at once while it refuses this body."""
    tracemalloc.start()
    try:
        with pytest.raises(RequestRejected):
            parse_request(raw)
        return tracemalloc.get_traced_memory()[1] / 1024
    finally:
        tracemalloc.stop()


def sparse_candidate_rows(count: int, names: int, each: int) -> list[dict[str, Any]]:
    """`count` candidates that give `each` fields, of `names` different ones in all."""
    return [
        {"item_id": str(i), "features": {f"f{(i * each + j) % names}": 1.0 for j in range(each)}}
        for i in range(count)
    ]


@BOTH_PARSERS
def test_parse_request_sparse_rows_are_rejected_early(more):
    raw = json.dumps(
        {"user_id": "u", "candidates": sparse_candidate_rows(3000, 3000, 1)} | more
    ).encode()

    assert candidate_violations(sparse_candidate_rows(3000, 3000, 1), more) == {
        "candidates.features": f"3000 names are more than {MAX_FEATURE_NAMES}"
    }
    assert (
        peak_memory_kb(raw) < 3000 * 3000 * 8 / 1024 / 4
    )  # the columns' pointers alone are 4 times that


@BOTH_PARSERS
def test_parse_request_max_feature_names_are_accepted(more):
    few = sparse_candidate_rows(
        2, MAX_FEATURE_NAMES, MAX_FEATURE_NAMES // 2
    )  # one half of the names each
    features = {f"f{i}": [1.0, 2.0] for i in range(MAX_FEATURE_NAMES)}
    columns = {"item_id": ["0", "1"], "features": features}

    assert len(parse_candidates(few, more).features) == MAX_FEATURE_NAMES
    assert len(parse_candidates(columns, more).features) == MAX_FEATURE_NAMES
    few[0]["features"]["one more"] = 1.0
    features["one more"] = [1.0, 2.0]
    assert list(candidate_violations(few, more)) == ["candidates.features"]
    assert list(candidate_violations(columns, more)) == ["candidates.features"]


@BOTH_PARSERS
def test_parse_request_single_row_names_are_bounded(more):
    assert list(
        candidate_violations(
            sparse_candidate_rows(2, MAX_FEATURE_NAMES + 1, MAX_FEATURE_NAMES + 1), more
        )
    ) == ["candidates.0.features"]


@BOTH_PARSERS
def test_parse_request_feature_cells_are_bounded(more):
    names = 64
    most = MAX_FEATURE_CELLS // names
    full = {
        "item_id": [str(i) for i in range(most + 1)],
        "features": {f"f{i}": [1.0] * (most + 1) for i in range(names)},
    }

    assert len(parse_candidates(sparse_candidate_rows(most, names, 1), more)) == most
    assert candidate_violations(sparse_candidate_rows(most + 1, names, 1), more) == {
        "candidates.features": f"{names} names for {most + 1} rows are more than "
        f"{MAX_FEATURE_CELLS} values; send columns"
    }
    assert len(parse_candidates(full, more)) == most + 1


@BOTH_PARSERS
def test_parse_request_context_names_are_bounded(more):
    fields = {f"f{i}": 1.0 for i in range(MAX_FEATURE_NAMES)}

    assert (
        len(
            parse_candidates(
                sparse_candidate_rows(1, 1, 1), more | {"context": fields}
            ).body.context
        )
        == MAX_FEATURE_NAMES
    )
    assert list(
        candidate_violations(
            sparse_candidate_rows(1, 1, 1), more | {"context": fields | {"one more": 1.0}}
        )
    ) == ["context"]


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
def test_parse_request_invalid_list_reports_first_error(candidates, field):
    raw = json.dumps({"user_id": "u", "candidates": candidates}).encode()
    with pytest.raises(ValidationError) as wrong:
        RerankRequestBody.model_validate_json(raw)
    assert wrong.value.error_count() <= 2  # of the form that was meant, and of the other

    assert list(candidate_violations(candidates, {})) == [field]


def test_parse_request_reports_first_invalid_candidate():
    wrong = [{"item_id": "a"}, {"item_id": "", "score": "x"}, {"item_id": 7}]

    found = candidate_violations(wrong, {"num_lists": 0})

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
def test_parse_request_too_many_violations_are_counted(odd):
    assert candidate_violations(sparse_candidate_rows(1, 1, 1), odd) == {
        "body": "breaks more than 1000 rules: too many to name"
    }


def test_request_json_schema_documents_bounds():
    parts = RerankRequestBody.model_json_schema()["$defs"]

    for name, properties in (
        ("Candidate", parts["Candidate"]["properties"]),
        ("CandidateColumns", parts["CandidateColumns"]["properties"]),
    ):
        assert properties["features"]["maxProperties"] == MAX_FEATURE_NAMES, name
    offered = RerankRequestBody.model_json_schema()["properties"]["candidates"]["anyOf"]
    assert offered[0] == {
        "items": {"$ref": "#/$defs/Candidate"},
        "minItems": 1,
        "type": "array",
    }
    assert parts["CandidateColumns"]["properties"]["item_id"]["minItems"] == 1
