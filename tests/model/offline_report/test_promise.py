import math

import numpy as np
import pytest

from model.contract.choice import Objective
from model.data.tables import load_tables
from model.data.worlds import load_world
from model.offline_report.pair.promise import kept_rewards, tenths
from tests.model.offline_report.small_world import SLOTS, world_problem


def test_tenths_go_by_what_is_promised_and_tell_its_excess_over_what_is_kept():
    promised = np.array([3.0, 1.0, 2.0, 4.0, 5.0])
    kept = np.array([2.0, 1.0, 1.0, 4.0, 2.0])

    low, high = tenths(promised, kept, parts=2)

    # in the order of the promise: 1, 2, 3 | 4, 5, kept 1, 1, 2 | 4, 2
    assert (low.requests, low.promised) == (3, 2.0)
    assert low.kept == pytest.approx(4 / 3)
    assert low.optimism == pytest.approx(2.0 / (4 / 3) - 1)
    assert (high.requests, high.promised, high.kept) == (2, 4.5, 3.0)
    assert high.optimism == pytest.approx(0.5)


def test_there_are_no_more_parts_than_requests_and_nothing_kept_has_no_share():
    parts = tenths(np.array([1.0, 2.0]), np.array([0.0, 1.0]))

    assert [part.requests for part in parts] == [1, 1]
    assert math.isnan(parts[0].optimism)


def test_a_world_says_what_lists_are_worth_slot_by_slot_under_the_objective(tmp_path):
    problem = world_problem(tmp_path)
    tables, world = load_tables(problem.log), load_world(problem.log)
    rows = np.array([3, 8])
    lists = np.array([[0, 1, 2], [2, 0, 4]])
    items = np.stack(
        [tables.candidates[row][places] for row, places in zip(rows, lists, strict=True)]
    )
    clicks = world.click_probabilities(tables.user_place[rows], items)

    plain = kept_rewards(tables, world, Objective(), rows, lists)
    lower = kept_rewards(tables, world, Objective(click=2.0, discount=1.0), rows, lists)

    assert plain == pytest.approx(clicks.sum(axis=1))
    counts = np.array([1 / math.log2(slot + 2) for slot in range(SLOTS)])
    assert lower == pytest.approx(2 * (clicks * counts).sum(axis=1))


def test_nobody_can_tell_what_conversions_are_worth_nor_lists_without_truth(tmp_path):
    problem = world_problem(tmp_path)
    tables, world = load_tables(problem.log), load_world(problem.log)
    rows, lists = np.array([3]), np.array([[0, 1, 2]])

    assert kept_rewards(tables, world, Objective(conversion=1.0), rows, lists) is None
    assert kept_rewards(tables, None, Objective(), rows, lists) is None
