"""A body costs what its bytes may cost: what would grow faster is refused before it is built."""

import json
import tracemalloc
from typing import Any

import pytest

from model.contract.errors import RequestRejected
from model.contract.request import RerankRequest, parse_request
from model.contract.wire_limits import MAX_FEATURES, MAX_ROW_VALUES

SLOW = {"objective": None}  # left to the public schema, and means the same
READINGS = pytest.mark.parametrize("more", [{}, SLOW], ids=["quick", "public schema"])


def read(candidates: Any, more: dict[str, Any]) -> RerankRequest:
    return parse_request(json.dumps({"user_id": "u", "candidates": candidates} | more).encode())


def broken(candidates: Any, more: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(RequestRejected) as caught:
        read(candidates, more)
    return dict(caught.value.broken)


def rows(count: int, names: int, each: int) -> list[dict[str, Any]]:
    """`count` candidates that give `each` fields, of `names` different ones in all."""
    return [
        {"item_id": str(i), "features": {f"f{(i * each + j) % names}": 1.0 for j in range(each)}}
        for i in range(count)
    ]


@READINGS
def test_rows_with_a_field_of_their_own_each_are_refused_before_columns_are_built(more):
    raw = json.dumps({"user_id": "u", "candidates": rows(3000, 3000, 1)} | more).encode()
    tracemalloc.start()
    try:
        with pytest.raises(RequestRejected) as caught:
            parse_request(raw)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert caught.value.broken == [
        ("candidates.features", f"3000 names are more than {MAX_FEATURES}")
    ]
    assert held < 3000 * 3000 * 8 / 4  # bytes of the columns' pointers alone, and a good margin


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
        "candidates.0.features",
        "candidates.1.features",
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
