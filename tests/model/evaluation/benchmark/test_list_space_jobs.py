"""Best lists of a click world, found by enumeration and by search."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.simulation.ground_truth import load_click_world
from model.data.tables.batches import BatchLoader
from model.data.tables.split import TEST
from model.data.tables.table_cache import build_log_tables
from model.evaluation.benchmark.benchmark_scenario import Scenario, scenario_tables
from model.evaluation.benchmark.job_cache import JobCache
from model.evaluation.benchmark.job_scheduler import run_in_process
from model.evaluation.benchmark.list_space_jobs import BestTrueValueJob, ExpectedClicksScorer
from model.evaluation.list_space import (
    all_list_rewards,
    best_climbed_reward,
    rows_with_full_lists,
    top_share_hits,
)
from tests.model.evaluation.small_click_world import CANDIDATES, SLOTS, small_scenario
from tests.toy_log import write_toy_log


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return small_scenario(tmp_path_factory.mktemp("world"))


def enumerated_values(scenario: Scenario) -> np.ndarray:
    """(R, S) values of all lists of every test request, one list at a time."""
    world, tables = load_click_world(scenario.log), scenario_tables(scenario)
    return np.array(
        [
            [
                world.expected_clicks(int(tables.user_index[row]), items[None, list(indices)])[0]
                for indices in permutations(range(CANDIDATES), SLOTS)
            ]
            for row, items in ((row, tables.candidates[row]) for row in tables.part_rows(TEST))
        ]
    )


def true_scorer(scenario: Scenario) -> ExpectedClicksScorer:
    world, tables = load_click_world(scenario.log), scenario_tables(scenario)
    rows = tables.part_rows(TEST)
    request = BatchLoader(tables).gather(rows).request
    return ExpectedClicksScorer(world, request, tables.user_index[rows], tables.candidates[rows])


def test_best_climbed_reward_many_restarts_find_optimum(scenario: Scenario):
    best = enumerated_values(scenario).max(axis=1)
    scorer = true_scorer(scenario)

    assert best_climbed_reward(scorer, 16).numpy() == pytest.approx(best, abs=1e-12)
    single = best_climbed_reward(scorer, 1).numpy()
    assert (single <= best + 1e-12).all()
    assert (single < best - 1e-6).any(), "the test needs a space where one climb is not enough"


def test_best_true_value_job_small_space_equals_enumeration(scenario: Scenario, tmp_path: Path):
    cache, job = JobCache(tmp_path), BestTrueValueJob(scenario=scenario)

    run_in_process(job, cache)

    best = enumerated_values(scenario).max(axis=1)
    assert cache.read_arrays(job)["best"] == pytest.approx(best, abs=1e-12)


def test_all_list_rewards_follow_enumeration_order(scenario: Scenario):
    values = all_list_rewards(true_scorer(scenario)).numpy()

    assert values == pytest.approx(enumerated_values(scenario), abs=1e-12)


def test_top_share_hits_ties_take_worse_rank():
    size = 60  # 5 * 4 * 3 lists: the best 1 % is 1 list, the best 10 % are 6
    by_rank = np.arange(size, 0, -1, dtype=np.float64)  # the list with index i has rank i + 1
    tied = np.where(np.arange(size) < 2, float(size), by_rank)  # two lists share the first rank
    lists = [list(places) for places in permutations(range(CANDIDATES), SLOTS)]
    ranked_lists = torch.tensor([lists[0], lists[5], lists[6], lists[0]])

    hits = top_share_hits(np.stack([by_rank, by_rank, by_rank, tied]), ranked_lists, CANDIDATES)

    assert hits["hr@1%"].tolist() == [True, False, False, False]
    assert hits["hr@10%"].tolist() == [True, True, False, True]


def test_rows_with_full_lists_enumerable_space_drops_ragged(tmp_path: Path):
    small = build_log_tables(write_toy_log(tmp_path / "small", candidates=5, slots=3))
    large = build_log_tables(write_toy_log(tmp_path / "large", candidates=20, slots=6))
    rows = np.arange(40)[::-1]

    full_rows = rows_with_full_lists(small, rows)

    expected = [r for r in rows if small.cand_count[r] == 5 and small.shown_count[r] == 3]
    assert 0 < len(expected) < len(rows), "the test needs ragged requests"
    assert full_rows.tolist() == expected
    assert rows_with_full_lists(large, rows).tolist() == rows.tolist()
