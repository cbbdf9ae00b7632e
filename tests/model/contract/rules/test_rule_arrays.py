"""The verifier of rules against a loop over the definition."""

from itertools import permutations

import numpy as np

from model.contract.rules.rule_arrays import RuleArrays


def is_satisfied_by_loop(rules: RuleArrays, shown: list[int], slot_valid: list[bool]) -> bool:
    held = [(slot, item) for slot, item in enumerate(shown) if slot_valid[slot]]
    items = [item for _, item in held]
    if len(set(items)) != len(items) or not all(rules.allowed[i] for i in items):
        return False
    for row in range(len(rules.minimum)):
        count = sum(bool(rules.slots[row, s] and rules.member[row, i]) for s, i in held)
        if not rules.minimum[row] <= count <= rules.maximum[row]:
            return False
    return True


def random_rules(rng: np.random.Generator, rows: int, n: int, m: int) -> RuleArrays:
    minimum = rng.integers(0, 2, rows)
    return RuleArrays(
        allowed=rng.random(n) < 0.9,
        editable=np.ones(m, dtype=bool),
        member=rng.random((rows, n)) < 0.5,
        slots=rng.random((rows, m)) < 0.7,
        minimum=minimum.astype(np.float32),
        maximum=(minimum + rng.integers(0, 3, rows)).astype(np.float32),
    )


def test_satisfied_by_agrees_with_loop():
    rng = np.random.default_rng(5)
    n, m = 5, 3
    lists = np.array([*permutations(range(n), m), (0, 0, 1), (4, 2, 4)])
    seen: set[bool] = set()
    for rows in (0, 1, 2, 3) * 8:
        rules = random_rules(rng, rows, n, m)
        for slot_valid in ([True] * 3, [True, True, False], [False] * 3):
            got = rules.satisfied_by(lists, np.array(slot_valid)).tolist()
            assert got == [is_satisfied_by_loop(rules, row, slot_valid) for row in lists.tolist()]
            seen |= set(got)
    assert seen == {True, False}


def test_satisfied_by_ignores_padded_slots():
    rules = RuleArrays(
        allowed=np.array([True, True, False]),
        editable=np.ones(3, dtype=bool),
        member=np.array([[True, False, True]]),
        slots=np.ones((1, 3), dtype=bool),
        minimum=np.array([0], dtype=np.float32),
        maximum=np.array([1], dtype=np.float32),
    )
    lists = np.array([[0, 1, 2], [0, 1, 0], [2, 1, 0], [1, 1, 2]])

    assert rules.satisfied_by(lists, np.array([True, True, False])).tolist() == [
        True,
        True,
        False,
        False,
    ]


def test_satisfied_by_without_lists_is_empty():
    rules = random_rules(np.random.default_rng(0), 2, 4, 3)
    assert rules.satisfied_by(np.zeros((0, 3), dtype=int), np.ones(3, dtype=bool)).tolist() == []
