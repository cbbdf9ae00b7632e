"""The bounded search against plain backtracking that remembers nothing and prunes nothing early."""

import numpy as np
import pytest

from model.contract.rules.problem import SlotFillingProblem
from model.contract.rules.solver import BacktrackingSolver, WorkLimitExceeded


def make_problem(member, slots, room, need):
    rows = [f"r{i}" for i in range(len(room))]
    return SlotFillingProblem(
        member=np.array(member, dtype=bool),
        slots=np.array(slots, dtype=bool),
        remaining_capacity=np.array(room),
        remaining_minimum=np.array(need),
        row_constraints=rows,
        row_texts=rows,
        available_counts=np.array(member).sum(axis=1),
        other_constraints=[],
    )


def solve_by_plain_backtracking(problem):
    """First list in upstream order that meets all rows, by trying slot after slot."""
    count = problem.member.shape[1]
    room = problem.remaining_capacity.copy()

    def fill(chosen):
        depth = len(chosen)
        if depth == problem.free_slot_count:
            counted = problem.member[:, chosen] & problem.slots
            return chosen if (counted.sum(axis=1) >= problem.remaining_minimum).all() else None
        for at in range(count):
            hit = problem.member[:, at] & problem.slots[:, depth]
            if at in chosen or (room[hit] <= 0).any():
                continue
            room[hit] -= 1
            found = fill([*chosen, at])
            room[hit] += 1
            if found:
                return found
        return None

    return fill([])


def random_problem(seed):
    """Few classes, tight windows, minimums: many dead ends, some with no way out."""
    rng = np.random.default_rng(seed)
    plenty = seed % 3 == 0  # more of each class than slots
    free = 4 if plenty else int(rng.integers(4, 8))
    count = 12 if plenty else free + int(rng.integers(0, 2))
    member, slots, room, need = [], [], [], []
    for values in (3, 2)[: int(rng.integers(1, 3))]:
        value = rng.integers(0, values, count)
        width, most = (2, 1) if values == 3 else (int(rng.integers(3, free + 1)), 2)
        for v in range(values):
            for first in range(free - width + 1):
                member.append(value == v)
                slots.append([first <= s < first + width for s in range(free)])
                room.append(most)
                need.append(0)
    for _ in range(int(rng.integers(0, 3))):
        member.append(rng.random(count) < (0.25 if plenty else 0.5))
        slots.append([True] * free)
        room.append(free)
        need.append(int(rng.integers(1, free)))
    return make_problem(member, slots, room, need)


def test_solve_agrees_with_plain_backtracking():
    outcomes = []
    for seed in range(250):
        asked = random_problem(seed)
        expected = solve_by_plain_backtracking(asked)
        assert BacktrackingSolver(asked, 10**9).solve() == expected, seed
        outcomes.append(expected)
    impossible = outcomes.count(None)
    assert 30 < impossible < 220  # the comparison saw both kinds


def test_solve_infeasible_problem_needs_little_work():
    # 36 items of three kinds, neighbors of different kinds, and nobody may stand in the last slot:
    # 3 * 2^10 ways to fill the eleven slots before it, all in vain
    kinds = np.arange(36) % 3
    member = [kinds == kind for kind in range(3)] * 11
    slots = [[first <= s <= first + 1 for s in range(12)] for first in range(11) for _ in range(3)]
    nobody = ([np.ones(36)], [[s == 11 for s in range(12)]], [0])
    asked = make_problem(member + nobody[0], slots + nobody[1], [1] * 33 + nobody[2], [0] * 34)
    search = BacktrackingSolver(asked, 10**9)
    assert search.solve() is None
    assert search.work_done < 3 * 2**10


def test_solve_over_work_limit_raises():
    asked = random_problem(3)
    whole = BacktrackingSolver(asked, 10**9)
    whole.solve()
    with pytest.raises(WorkLimitExceeded):
        BacktrackingSolver(asked, whole.work_done // 2).solve()


def test_solve_negative_capacity_returns_none():
    asked = make_problem([[True, True]], [[True]], [-1], [0])
    assert BacktrackingSolver(asked, 1000).solve() is None
