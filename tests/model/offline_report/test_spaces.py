"""Best lists, looked for in different ways, of a world that knows the value of any list."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from model.data.batches import Gatherer
from model.data.split import TEST
from model.data.worlds import load_world
from model.offline_report.comparison.jobs import Store
from model.offline_report.comparison.problems import Problem, tables_of
from model.offline_report.comparison.schedule import run_here
from model.offline_report.comparison.spaces import TrueScorer, TruthJob
from model.offline_report.space import climbed_reward, space_rewards
from tests.model.offline_report.small_world import CANDIDATES, SLOTS, world_problem


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    return world_problem(tmp_path_factory.mktemp("world"))


def values_by_hand(problem: Problem) -> np.ndarray:
    """(R, S) values of all lists of every test request, one list at a time."""
    world, tables = load_world(problem.log), tables_of(problem)
    return np.array(
        [
            [
                world.expected_clicks(int(tables.user_place[row]), items[None, list(places)])[0]
                for places in permutations(range(CANDIDATES), SLOTS)
            ]
            for row, items in ((row, tables.candidates[row]) for row in tables.rows_of(TEST))
        ]
    )


def scorer_of(problem: Problem) -> TrueScorer:
    world, tables = load_world(problem.log), tables_of(problem)
    rows = tables.rows_of(TEST)
    request = Gatherer(tables).gather(rows).request
    return TrueScorer(world, request, tables.user_place[rows], tables.candidates[rows])


def test_many_climbs_find_the_best_list_of_a_space_and_one_no_better(problem: Problem):
    best = values_by_hand(problem).max(axis=1)
    scorer = scorer_of(problem)

    assert climbed_reward(scorer, 16).numpy() == pytest.approx(best, abs=1e-12)
    one = climbed_reward(scorer, 1).numpy()
    assert (one <= best + 1e-12).all()
    assert (one < best - 1e-6).any(), "a space where one climb is enough shows nothing"


def test_the_truth_of_a_small_space_is_the_value_of_its_best_list(problem: Problem, tmp_path: Path):
    store, job = Store(tmp_path), TruthJob(problem=problem)

    run_here(job, store)

    best = values_by_hand(problem).max(axis=1)
    assert store.arrays(job)["best"] == pytest.approx(best, abs=1e-12)


def test_the_rewards_of_a_space_stand_in_the_order_of_its_lists(problem: Problem):
    values = space_rewards(scorer_of(problem)).numpy()

    assert values == pytest.approx(values_by_hand(problem), abs=1e-12)
