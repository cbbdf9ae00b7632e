"""Constraints become rows, a start list and a verdict."""

import dataclasses

import numpy as np
import pytest

from model.contract.constraints import Constraints
from model.contract.rule_arrays import RuleArrays
from model.contract.rules import compile_rules, verify_answer
from tests.contract.rule_requests import SLOTS, compiled, offer, start_of


def test_without_rules_the_start_is_the_input_list_and_every_slot_of_the_list_is_editable(schema):
    ids, rows = offer(schema, ["acme"] * 7)
    rules = compile_rules(None, schema=schema, item_ids=ids, rows=rows, slots=SLOTS, list_size=3)
    assert rules.start.tolist() == [0, 1, 2, 0, 0]
    assert rules.arrays.editable.tolist() == [True, True, True, False, False]
    assert rules.arrays.allowed.all()
    assert rules.arrays.member.shape == (0, 7)
    assert rules.names == []


@pytest.mark.parametrize("list_size", [1, 3, SLOTS])
def test_constraints_without_effect_compile_to_what_requests_without_any_share(schema, list_size):
    ids, rows = offer(schema, ["acme"] * 7)
    sizes = {"slots": SLOTS, "list_size": list_size}
    shared = compile_rules(None, schema=schema, item_ids=ids, rows=rows, **sizes)
    own = compile_rules(
        Constraints(exclude=["never offered"]), schema=schema, item_ids=ids, rows=rows, **sizes
    )

    for field in dataclasses.fields(RuleArrays):
        ours, theirs = (getattr(rules.arrays, field.name) for rules in (shared, own))
        assert (ours.shape, ours.dtype, ours.tolist()) == (
            theirs.shape,
            theirs.dtype,
            theirs.tolist(),
        )
        assert not ours.flags.writeable
    assert shared.start.dtype == own.start.dtype
    assert shared.start.tolist() == own.start.tolist()
    assert not shared.start.flags.writeable
    assert shared.pinned.tolist() == own.pinned.tolist()


def test_pins_stand_excluded_items_are_out_and_the_rest_keeps_its_order(schema):
    rules = compiled(
        schema,
        {
            "pinned": [{"slot": 3, "item_id": "i1"}, {"slot": 0, "item_id": "i6"}],
            "exclude": ["i2", "never offered"],
        },
        ["acme"] * 8,
    )
    assert rules.start.tolist() == [6, 0, 3, 1, 4]
    assert rules.pinned.tolist() == [True, False, False, True, False]
    assert rules.arrays.editable.tolist() == [False, True, True, False, True]
    assert np.flatnonzero(~rules.arrays.allowed).tolist() == [2]


def test_a_cap_drops_the_last_of_a_brand_and_takes_the_next_in_upstream_order(schema):
    a, b = "acme", "bolt"
    cap = {"caps": [{"field": "brand", "value": a, "max": 2}]}
    assert start_of(schema, cap, [a, a, a, b, a, b, b]) == [0, 1, 3, 5, 6]


def test_a_cap_without_value_holds_for_each_value_but_not_for_items_without_one(schema):
    brands = ["acme", None, "acme", "bolt", "stranger", "bolt", None, "stranger"]
    rules = compiled(schema, {"caps": [{"field": "brand", "max": 1}]}, brands)
    # i2 and i5 repeat a brand; the two gaps and the strangers are no group
    assert rules.start.tolist() == [0, 1, 3, 4, 6]
    assert rules.names == [
        "constraints.caps[0] brand=acme slots 0-4",
        "constraints.caps[0] brand=bolt slots 0-4",
    ]


def test_an_item_of_several_values_counts_for_each_of_them(schema):
    tags = [["new", "eco"], ["eco"], ["sale"], ["new"], ["sale", "eco"], None]
    rules = {"caps": [{"field": "tags", "value": "eco", "max": 1}]}
    assert start_of(schema, rules, ["acme"] * 6, tags, list_size=4) == [0, 2, 3, 5]


def test_a_window_cap_keeps_equal_brands_apart_with_one_row_for_each_stretch(schema):
    a, b = "acme", "bolt"
    rules = compiled(
        schema,
        {"caps": [{"field": "brand", "value": a, "max": 1, "window": 3}]},
        [a, a, b, a, b, b, b],
    )
    assert rules.start.tolist() == [0, 2, 4, 1, 5]
    assert rules.arrays.slots.tolist() == [
        [True, True, True, False, False],
        [False, True, True, True, False],
        [False, False, True, True, True],
    ]


def test_a_window_as_long_as_the_list_or_longer_is_the_whole_list(schema):
    cap = {"field": "brand", "value": "acme", "max": 1}
    brands = ["acme", "acme", "bolt", "bolt", "bolt", "bolt"]
    longer = compiled(schema, {"caps": [cap | {"window": 9}]}, brands)
    whole = compiled(schema, {"caps": [cap]}, brands)
    assert longer.names == whole.names
    assert longer.start.tolist() == whole.start.tolist()


def test_a_minimum_is_met_at_the_end_of_the_list_so_that_the_top_stays(schema):
    a, b = "acme", "bolt"
    minimum = {"minimums": [{"field": "brand", "value": b, "min": 2}]}
    assert start_of(schema, minimum, [a, a, a, a, a, a, b, b, b]) == [0, 1, 2, 6, 7]


def test_a_pinned_item_counts_towards_caps_and_minimums(schema):
    a, b = "acme", "bolt"
    rules = {
        "pinned": [{"slot": 4, "item_id": "i5"}, {"slot": 1, "item_id": "i7"}],
        "caps": [{"field": "brand", "value": a, "max": 2}],
        "minimums": [{"field": "brand", "value": b, "min": 2}],
    }
    # i5 is acme's one of two, i7 bolt's one of two
    assert start_of(schema, rules, [a, a, a, a, None, a, b, b, None]) == [0, 7, 4, 6, 5]


def test_rows_that_no_list_could_break_are_left_out(schema):
    caps = [
        {"field": "brand", "max": 2},  # two of acme, one of bolt
        {"field": "brand", "value": "acme", "max": 3, "window": 3},
        {"field": "tags", "value": "eco", "max": 0},  # nobody has it
    ]
    rules = {"caps": caps, "minimums": [{"field": "tags", "value": "new", "min": 0}]}
    assert compiled(schema, rules, ["acme", "bolt", "acme", None, None]).names == []


def test_an_answer_is_checked_item_by_item_and_rule_by_rule(schema):
    a, b = "acme", "bolt"
    rules = compiled(
        schema,
        {
            "pinned": [{"slot": 2, "item_id": "i7"}],
            "exclude": ["i0"],
            "caps": [{"field": "brand", "value": a, "max": 2}],
            "minimums": [{"field": "brand", "value": b, "min": 1}],
        },
        [a, a, a, a, b, None, None, None],
    )
    assert verify_answer(rules, rules.start, SLOTS) == []
    assert verify_answer(rules, [1, 2, 7, 4, 5], SLOTS) == []
    assert verify_answer(rules, [1, 2, 7, 4], SLOTS) == ["the list has 4 slots, not 5"]
    assert verify_answer(rules, [1, 2, 7, 4, 8], SLOTS) == ["an item is no candidate"]
    assert verify_answer(rules, [1, 2, 7, 4, -1], SLOTS) == ["an item is no candidate"]
    assert verify_answer(rules, [1, 4, 7, 5, 5], SLOTS) == ["an item stands twice"]
    assert verify_answer(rules, [0, 4, 7, 5, 6], SLOTS) == ["constraints.exclude"]
    assert verify_answer(rules, [1, 4, 6, 5, 7], SLOTS) == ["constraints.pinned slot 2"]
    assert verify_answer(rules, [1, 2, 7, 3, 5], SLOTS) == [
        "constraints.caps[0] brand=acme slots 0-4",
        "constraints.minimums[0] brand=bolt slots 0-4",
    ]
