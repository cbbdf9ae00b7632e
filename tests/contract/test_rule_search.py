"""The bounded search against plain backtracking that remembers nothing and prunes nothing early."""

import numpy as np
import pytest

from model.contract.rule_problem import Problem
from model.contract.rule_search import GaveUp, Search


def problem(member, slots, room, need):
    rows = [f"r{i}" for i in range(len(room))]
    return Problem(
        member=np.array(member, dtype=bool),
        slots=np.array(slots, dtype=bool),
        room=np.array(room),
        need=np.array(need),
        rules=rows,
        names=rows,
        there=np.array(member).sum(axis=1),
        beside=[],
    )


def plain_search(asked):
    """First list in upstream order that meets all rows, by trying slot after slot."""
    count = asked.member.shape[1]
    room = asked.room.copy()

    def fill(chosen):
        depth = len(chosen)
        if depth == asked.free:
            counted = asked.member[:, chosen] & asked.slots
            return chosen if (counted.sum(axis=1) >= asked.need).all() else None
        for at in range(count):
            hit = asked.member[:, at] & asked.slots[:, depth]
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
    return problem(member, slots, room, need)


def test_the_search_finds_what_plain_backtracking_finds_and_nothing_where_that_finds_nothing():
    outcomes = []
    for seed in range(250):
        asked = random_problem(seed)
        expected = plain_search(asked)
        assert Search(asked, 10**9).run() == expected, seed
        outcomes.append(expected)
    impossible = outcomes.count(None)
    assert 30 < impossible < 220  # the comparison saw both kinds


def test_remembered_dead_ends_and_classes_keep_a_proof_small():
    # 36 items of three kinds, neighbors of different kinds, and nobody may stand in the last slot:
    # 3 * 2^10 ways to fill the eleven slots before it, all in vain
    kinds = np.arange(36) % 3
    member = [kinds == kind for kind in range(3)] * 11
    slots = [[first <= s <= first + 1 for s in range(12)] for first in range(11) for _ in range(3)]
    nobody = ([np.ones(36)], [[s == 11 for s in range(12)]], [0])
    asked = problem(member + nobody[0], slots + nobody[1], [1] * 33 + nobody[2], [0] * 34)
    search = Search(asked, 10**9)
    assert search.run() is None
    assert search.work < 3 * 2**10


def test_a_search_stops_at_its_bound_on_work():
    asked = random_problem(3)
    whole = Search(asked, 10**9)
    whole.run()
    with pytest.raises(GaveUp):
        Search(asked, whole.work // 2).run()


def test_room_that_pins_have_overdrawn_is_no_list_even_where_no_slot_is_left_to_fill():
    asked = problem([[True, True]], [[True]], [-1], [0])
    assert Search(asked, 1000).run() is None
