"""Constraints on the wire: what is taken, and the message for what is not."""

import json

import pytest
from pydantic import ValidationError

from model.contract.errors import ValueRejected
from model.contract.wire.constraints import Constraints


def first_error(constraints):
    with pytest.raises(ValidationError) as caught:
        Constraints.model_validate_json(json.dumps(constraints))
    error = caught.value.errors()[0]
    return ".".join(map(str, error["loc"])), error["msg"]


def test_constraints_all_four_kinds_are_parsed():
    read = Constraints.model_validate_json(
        """{"pinned": [{"slot": 1, "item_id": "a"}, {"slot": 0, "item_id": "b"}],
            "exclude": ["c", "c"],
            "caps": [{"field": "brand", "max": 2}, {"field": "g", "value": "x", "max": 0,
                      "window": 3}],
            "minimums": [{"field": "g", "value": "y", "min": 1}]}"""
    )
    assert [(p.slot, p.item_id) for p in read.pinned] == [(1, "a"), (0, "b")]
    assert [(c.value, c.window) for c in read.caps] == [(None, None), ("x", 3)]
    assert read
    assert not Constraints()


def test_constraints_two_pins_of_slot_are_rejected():
    field, message = first_error(
        {"pinned": [{"slot": 3, "item_id": "a"}, {"slot": 3, "item_id": "b"}]}
    )
    assert field == "pinned"
    assert "[1].slot 3 is pinned already by [0]" in message


def test_constraints_item_pinned_twice_is_rejected():
    field, message = first_error(
        {"pinned": [{"slot": 3, "item_id": "a"}, {"slot": 4, "item_id": "a"}]}
    )
    assert field == "pinned"
    assert "[1].item_id 'a' is pinned already by [0]" in message


def test_constraints_pinned_and_excluded_item_is_rejected():
    _, message = first_error(
        {"pinned": [{"slot": 0, "item_id": "b"}, {"slot": 3, "item_id": "a"}], "exclude": ["a"]}
    )
    assert "pinned[1].item_id 'a' is excluded too (exclude[0])" in message


@pytest.mark.parametrize(
    ("constraints", "field"),
    [
        ({"pin": []}, "pin"),
        ({"pinned": [{"slot": -1, "item_id": "a"}]}, "pinned.0.slot"),
        ({"pinned": [{"slot": True, "item_id": "a"}]}, "pinned.0.slot"),
        ({"pinned": [{"slot": 0, "item_id": ""}]}, "pinned.0.item_id"),
        ({"pinned": [{"slot": i, "item_id": str(i)} for i in range(51)]}, "pinned"),
        ({"exclude": ["a"] * 1001}, "exclude"),
        ({"exclude": [1]}, "exclude.0"),
        ({"caps": [{"field": "a", "max": 1}] * 17}, "caps"),
        ({"caps": [{"field": "a", "max": 1.5}]}, "caps.0.max"),
        ({"caps": [{"field": "a"}]}, "caps.0.max"),
        ({"caps": [{"field": "a", "max": 1, "window": 0}]}, "caps.0.window"),
        ({"caps": [{"field": "a", "max": 1, "min": 1}]}, "caps.0.min"),
        ({"minimums": [{"field": "a", "min": 1}]}, "minimums.0.value"),
        ({"minimums": [{"field": "a", "value": "b", "min": 1}] * 17}, "minimums"),
        ({"minimums": [{"field": "a", "value": "b", "min": 10**30}]}, "minimums.0.min"),
    ],
)
def test_constraints_invalid_value_names_field(constraints, field):
    assert first_error(constraints)[0] == field


def test_check_list_size_pin_beyond_list_is_rejected():
    constraints = Constraints.model_validate(
        {"pinned": [{"slot": 3, "item_id": "a"}, {"slot": 4, "item_id": "b"}]}
    )
    constraints.check_list_size(5)
    with pytest.raises(ValueRejected) as caught:
        constraints.check_list_size(4)
    assert caught.value.field == "constraints.pinned[1].slot"
    assert "slot 4 is beyond a list of 4" in caught.value.rule


def test_check_list_size_minimum_above_list_is_rejected():
    constraints = Constraints.model_validate(
        {
            "minimums": [
                {"field": "g", "value": "x", "min": 3},
                {"field": "g", "value": "y", "min": 4},
            ]
        }
    )
    constraints.check_list_size(4)
    with pytest.raises(ValueRejected) as caught:
        constraints.check_list_size(3)
    assert caught.value.field == "constraints.minimums[1].min"
