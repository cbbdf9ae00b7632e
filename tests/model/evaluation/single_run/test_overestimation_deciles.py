import math

import numpy as np
import pytest

from model.contract.scoring.objective import RewardWeights
from model.data.simulation.ground_truth import load_click_world
from model.data.tables.table_cache import load_log_tables
from model.evaluation.single_run.overestimation_deciles import actual_rewards, reward_deciles
from tests.model.evaluation.small_click_world import SLOTS, small_scenario


def test_reward_deciles_sort_by_prediction_report_overestimation():
    predicted = np.array([3.0, 1.0, 2.0, 4.0, 5.0])
    actual = np.array([2.0, 1.0, 1.0, 4.0, 2.0])

    low, high = reward_deciles(predicted, actual, num_groups=2)

    # ascending prediction: 1, 2, 3 | 4, 5; actual rewards: 1, 1, 2 | 4, 2
    assert (low.num_requests, low.predicted) == (3, 2.0)
    assert low.actual == pytest.approx(4 / 3)
    assert low.overestimation == pytest.approx(2.0 / (4 / 3) - 1)
    assert (high.num_requests, high.predicted, high.actual) == (2, 4.5, 3.0)
    assert high.overestimation == pytest.approx(0.5)


def test_reward_deciles_few_requests_one_each():
    deciles = reward_deciles(np.array([1.0, 2.0]), np.array([0.0, 1.0]))

    assert [decile.num_requests for decile in deciles] == [1, 1]
    assert math.isnan(deciles[0].overestimation)


def test_actual_rewards_in_click_world_weigh_slots(tmp_path):
    scenario = small_scenario(tmp_path)
    tables, world = load_log_tables(scenario.log), load_click_world(scenario.log)
    rows = np.array([3, 8])
    lists = np.array([[0, 1, 2], [2, 0, 4]])
    items = np.stack(
        [tables.candidates[row][places] for row, places in zip(rows, lists, strict=True)]
    )
    clicks = world.click_probabilities(tables.user_index[rows], items)

    plain = actual_rewards(tables, world, RewardWeights(), rows, lists)
    lower = actual_rewards(tables, world, RewardWeights(click=2.0, discount=1.0), rows, lists)

    assert plain == pytest.approx(clicks.sum(axis=1))
    counts = np.array([1 / math.log2(slot + 2) for slot in range(SLOTS)])
    assert lower == pytest.approx(2 * (clicks * counts).sum(axis=1))


def test_actual_rewards_without_ground_truth_are_none(tmp_path):
    scenario = small_scenario(tmp_path)
    tables, world = load_log_tables(scenario.log), load_click_world(scenario.log)
    rows, lists = np.array([3]), np.array([[0, 1, 2]])

    assert actual_rewards(tables, world, RewardWeights(conversion=1.0), rows, lists) is None
    assert actual_rewards(tables, None, RewardWeights(), rows, lists) is None
