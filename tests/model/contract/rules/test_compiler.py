"""Constraints become rows, a start list and a verdict."""

import dataclasses

import numpy as np
import pytest

from model.contract.rules.compiler import compile_rules, find_rule_violations
from model.contract.rules.rule_arrays import RuleArrays
from model.contract.wire.constraints import Constraints
from tests.model.contract.rules.rule_requests import (
    SLOTS,
    compile_sample_rules,
    compiled_start_list,
    encode_sample_candidates,
)


def test_compile_rules_without_constraints_keeps_input_list(schema):
    ids, rows = encode_sample_candidates(schema, ["acme"] * 7)
    rules = compile_rules(None, schema=schema, item_ids=ids, rows=rows, slots=SLOTS, list_size=3)
    assert rules.start_list.tolist() == [0, 1, 2, 0, 0]
    assert rules.arrays.editable.tolist() == [True, True, True, False, False]
    assert rules.arrays.allowed.all()
    assert rules.arrays.member.shape == (0, 7)
    assert rules.row_texts == []


@pytest.mark.parametrize("list_size", [1, 3, SLOTS])
def test_compile_rules_without_effect_shares_empty_rules(schema, list_size):
    ids, rows = encode_sample_candidates(schema, ["acme"] * 7)
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
    assert shared.start_list.dtype == own.start_list.dtype
    assert shared.start_list.tolist() == own.start_list.tolist()
    assert not shared.start_list.flags.writeable
    assert shared.pinned_slots.tolist() == own.pinned_slots.tolist()


def test_compile_rules_applies_pins_and_exclusions(schema):
    rules = compile_sample_rules(
        schema,
        {
            "pinned": [{"slot": 3, "item_id": "i1"}, {"slot": 0, "item_id": "i6"}],
            "exclude": ["i2", "never offered"],
        },
        ["acme"] * 8,
    )
    assert rules.start_list.tolist() == [6, 0, 3, 1, 4]
    assert rules.pinned_slots.tolist() == [True, False, False, True, False]
    assert rules.arrays.editable.tolist() == [False, True, True, False, True]
    assert np.flatnonzero(~rules.arrays.allowed).tolist() == [2]


def test_compile_rules_cap_replaces_last_excess_item(schema):
    a, b = "acme", "bolt"
    cap = {"caps": [{"field": "brand", "value": a, "max": 2}]}
    assert compiled_start_list(schema, cap, [a, a, a, b, a, b, b]) == [0, 1, 3, 5, 6]


def test_compile_rules_cap_without_value_covers_each_value(schema):
    brands = ["acme", None, "acme", "bolt", "stranger", "bolt", None, "stranger"]
    rules = compile_sample_rules(schema, {"caps": [{"field": "brand", "max": 1}]}, brands)
    # i2 and i5 repeat a brand; the two gaps and the strangers are no group
    assert rules.start_list.tolist() == [0, 1, 3, 4, 6]
    assert rules.row_texts == [
        "constraints.caps[0] brand=acme slots 0-4",
        "constraints.caps[0] brand=bolt slots 0-4",
    ]


def test_compile_rules_multi_value_item_counts_for_each(schema):
    tags = [["new", "eco"], ["eco"], ["sale"], ["new"], ["sale", "eco"], None]
    rules = {"caps": [{"field": "tags", "value": "eco", "max": 1}]}
    assert compiled_start_list(schema, rules, ["acme"] * 6, tags, list_size=4) == [0, 2, 3, 5]


def test_compile_rules_window_cap_has_row_per_window(schema):
    a, b = "acme", "bolt"
    rules = compile_sample_rules(
        schema,
        {"caps": [{"field": "brand", "value": a, "max": 1, "window": 3}]},
        [a, a, b, a, b, b, b],
    )
    assert rules.start_list.tolist() == [0, 2, 4, 1, 5]
    assert rules.arrays.slots.tolist() == [
        [True, True, True, False, False],
        [False, True, True, True, False],
        [False, False, True, True, True],
    ]


def test_compile_rules_long_window_is_whole_list(schema):
    cap = {"field": "brand", "value": "acme", "max": 1}
    brands = ["acme", "acme", "bolt", "bolt", "bolt", "bolt"]
    longer = compile_sample_rules(schema, {"caps": [cap | {"window": 9}]}, brands)
    whole = compile_sample_rules(schema, {"caps": [cap]}, brands)
    assert longer.row_texts == whole.row_texts
    assert longer.start_list.tolist() == whole.start_list.tolist()


def test_compile_rules_minimum_changes_last_slots(schema):
    a, b = "acme", "bolt"
    minimum = {"minimums": [{"field": "brand", "value": b, "min": 2}]}
    assert compiled_start_list(schema, minimum, [a, a, a, a, a, a, b, b, b]) == [0, 1, 2, 6, 7]


def test_compile_rules_pinned_item_counts_for_rules(schema):
    a, b = "acme", "bolt"
    rules = {
        "pinned": [{"slot": 4, "item_id": "i5"}, {"slot": 1, "item_id": "i7"}],
        "caps": [{"field": "brand", "value": a, "max": 2}],
        "minimums": [{"field": "brand", "value": b, "min": 2}],
    }
    # i5 is acme's one of two, i7 bolt's one of two
    assert compiled_start_list(schema, rules, [a, a, a, a, None, a, b, b, None]) == [0, 7, 4, 6, 5]


def test_compile_rules_omits_rows_without_effect(schema):
    caps = [
        {"field": "brand", "max": 2},  # two of acme, one of bolt
        {"field": "brand", "value": "acme", "max": 3, "window": 3},
        {"field": "tags", "value": "eco", "max": 0},  # nobody has it
    ]
    rules = {"caps": caps, "minimums": [{"field": "tags", "value": "new", "min": 0}]}
    assert compile_sample_rules(schema, rules, ["acme", "bolt", "acme", None, None]).row_texts == []


def test_find_rule_violations_names_each_violation(schema):
    a, b = "acme", "bolt"
    rules = compile_sample_rules(
        schema,
        {
            "pinned": [{"slot": 2, "item_id": "i7"}],
            "exclude": ["i0"],
            "caps": [{"field": "brand", "value": a, "max": 2}],
            "minimums": [{"field": "brand", "value": b, "min": 1}],
        },
        [a, a, a, a, b, None, None, None],
    )
    assert find_rule_violations(rules, rules.start_list, SLOTS) == []
    assert find_rule_violations(rules, [1, 2, 7, 4, 5], SLOTS) == []
    assert find_rule_violations(rules, [1, 2, 7, 4], SLOTS) == ["the list has 4 slots, not 5"]
    assert find_rule_violations(rules, [1, 2, 7, 4, 8], SLOTS) == ["an item is no candidate"]
    assert find_rule_violations(rules, [1, 2, 7, 4, -1], SLOTS) == ["an item is no candidate"]
    assert find_rule_violations(rules, [1, 4, 7, 5, 5], SLOTS) == ["an item stands twice"]
    assert find_rule_violations(rules, [0, 4, 7, 5, 6], SLOTS) == ["constraints.exclude"]
    assert find_rule_violations(rules, [1, 4, 6, 5, 7], SLOTS) == ["constraints.pinned slot 2"]
    assert find_rule_violations(rules, [1, 2, 7, 3, 5], SLOTS) == [
        "constraints.caps[0] brand=acme slots 0-4",
        "constraints.minimums[0] brand=bolt slots 0-4",
    ]
