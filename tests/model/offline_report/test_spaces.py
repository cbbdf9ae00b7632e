"""Best lists, looked for in different ways, of a world that knows the value of any list."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.batches import Gatherer
from model.data.split import TEST
from model.data.tables import prepare
from model.data.worlds import load_world
from model.offline_report.comparison.jobs import Store
from model.offline_report.comparison.problems import Problem, tables_of
from model.offline_report.comparison.schedule import run_here
from model.offline_report.comparison.spaces import TrueScorer, TruthJob
from model.offline_report.space import climbed_reward, hits, measurable_rows, space_rewards
from tests.logs import write_toy_log
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


def test_a_hit_is_a_list_among_the_best_percents_and_ties_count_as_the_worse_rank():
    size = 60  # 5 * 4 * 3 lists: the best 1 % is 1 list, the best 10 % are 6
    by_rank = np.arange(size, 0, -1, dtype=np.float64)  # the list of place p has rank p + 1
    tied = np.where(np.arange(size) < 2, float(size), by_rank)  # two share the first place
    lists = [list(places) for places in permutations(range(CANDIDATES), SLOTS)]
    asked = torch.tensor([lists[0], lists[5], lists[6], lists[0]])

    found = hits(np.stack([by_rank, by_rank, by_rank, tied]), asked, CANDIDATES)

    assert found["hr@1%"].tolist() == [True, False, False, False]
    assert found["hr@10%"].tolist() == [True, True, False, True]


def test_only_whole_requests_are_measured_where_spaces_are_enumerated(tmp_path: Path):
    small = prepare(write_toy_log(tmp_path / "small", candidates=5, slots=3))
    large = prepare(write_toy_log(tmp_path / "large", candidates=20, slots=6))
    rows = np.arange(40)[::-1]

    kept = measurable_rows(small, rows)

    whole = [r for r in rows if small.cand_count[r] == 5 and small.shown_count[r] == 3]
    assert 0 < len(whole) < len(rows), "a log without ragged requests shows nothing"
    assert kept.tolist() == whole
    assert measurable_rows(large, rows).tolist() == rows.tolist()
