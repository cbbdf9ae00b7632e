"""Compiled rules against all lists of small requests, and against the rules' wording at size."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.contract.errors import RulesUnsatisfiable
from model.contract.rules.compiler import find_rule_violations
from tests.model.contract.rules.rule_requests import SLOTS, compile_sample_rules

BRANDS, TAGS = ("acme", "bolt"), ("new", "sale", "eco")


@st.composite
def constraint_cases(draw):
    """Up to seven candidates, lists of up to four, and a few rules of every kind."""
    count = draw(st.integers(2, 7))
    size = draw(st.integers(1, min(4, count)))
    brands = draw(st.lists(st.sampled_from([*BRANDS, None]), min_size=count, max_size=count))
    several = st.lists(st.sampled_from(TAGS), max_size=2, unique=True)
    tags = draw(st.lists(several, min_size=count, max_size=count))
    field = st.sampled_from(
        [("brand", v) for v in BRANDS]
        + [("tags", v) for v in TAGS]
        + [("brand", None), ("tags", None)]
    )
    caps = [
        {"field": name, "value": value, "max": most, "window": window}
        for (name, value), most, window in draw(
            st.lists(st.tuples(field, st.integers(0, 2), st.none() | st.integers(1, 4)), max_size=3)
        )
    ]
    minimums = [
        {
            "field": name,
            "value": value or "eco" if name == "tags" else value or "acme",
            "min": least,
        }
        for (name, value), least in draw(
            st.lists(st.tuples(field, st.integers(0, min(2, size))), max_size=2)
        )
    ]
    slots = draw(st.lists(st.integers(0, size - 1), unique=True, max_size=2))
    items = draw(st.permutations(range(count)))
    pinned = [{"slot": s, "item_id": f"i{i}"} for s, i in zip(slots, items, strict=False)]
    exclude = [f"i{i}" for i in items[len(slots) :][: draw(st.integers(0, 2))]]
    constraints = {"pinned": pinned, "exclude": exclude, "caps": caps, "minimums": minimums}
    return constraints, brands, tags, size


def satisfies_constraints(constraints, brands, tags, shown):
    """The rules as the request says them, without arrays."""

    def has(item, field, value):
        return brands[item] == value if field == "brand" else value in tags[item]

    for pin in constraints["pinned"]:
        if f"i{shown[pin['slot']]}" != pin["item_id"]:
            return False
    if any(f"i{item}" in constraints["exclude"] for item in shown):
        return False
    for cap in constraints["caps"]:
        values = (
            [cap["value"]] if cap.get("value") else (BRANDS if cap["field"] == "brand" else TAGS)
        )
        width = min(cap.get("window") or len(shown), len(shown))
        for value, first in itertools.product(values, range(len(shown) - width + 1)):
            stretch = shown[first : first + width]
            if sum(has(item, cap["field"], value) for item in stretch) > cap["max"]:
                return False
    return all(
        sum(has(item, m["field"], m["value"]) for item in shown) >= m["min"]
        for m in constraints["minimums"]
    )


@settings(max_examples=250, deadline=None)
@given(case=constraint_cases())
def test_compile_rules_start_list_is_first_feasible(schema, case):
    constraints, brands, tags, size = case
    lawful = [
        shown
        for shown in itertools.permutations(range(len(brands)), size)
        if satisfies_constraints(constraints, brands, tags, shown)
    ]
    try:
        rules = compile_sample_rules(schema, constraints, brands, tags, list_size=size)
    except RulesUnsatisfiable:
        assert lawful == []
        return
    assert (
        tuple(rules.start_list[:size].tolist()) == lawful[0]
    )  # permutations come in upstream order
    slot_valid = np.arange(SLOTS) < size
    for shown in itertools.permutations(range(len(brands)), size):
        padded = np.zeros((1, SLOTS), dtype=np.int64)
        padded[0, :size] = shown
        broken = find_rule_violations(rules, shown, size)
        assert (broken == []) == (shown in lawful)
        pins_stand = not any("pinned" in name for name in broken)
        assert (rules.arrays.satisfied_by(padded, slot_valid)[0] and pins_stand) == (
            shown in lawful
        )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    brand_max=st.integers(0, 3),
    window=st.none() | st.integers(2, 4),
    least=st.integers(0, 2),
)
def test_compile_rules_feasible_rules_at_full_size(schema, seed, count, brand_max, window, least):
    rng = np.random.default_rng(seed)
    brands = [(*BRANDS, None)[i] for i in rng.choice(3, count, p=[0.3, 0.3, 0.4])]
    tags = [rng.choice(TAGS, rng.integers(0, 3), replace=False).tolist() for _ in range(count)]
    # the list that meets them: `least` that are only eco, the rest without brand and tags
    brands += [None] * (SLOTS + least)
    tags += [[]] * SLOTS + [["eco"]] * least
    constraints = {
        "caps": [
            {"field": "brand", "max": brand_max},
            {"field": "tags", "max": 2, "window": window},
        ],
        "minimums": [{"field": "tags", "value": "eco", "min": least}],
    }
    rules = compile_sample_rules(schema, constraints, brands, tags)
    assert find_rule_violations(rules, rules.start_list, SLOTS) == []
    assert satisfies_constraints(
        constraints | {"pinned": [], "exclude": []}, brands, tags, rules.start_list.tolist()
    )
