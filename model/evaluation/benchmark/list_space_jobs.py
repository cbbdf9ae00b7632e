"""Jobs that look at whole spaces of lists: what an evaluator says of them, and what is true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import read_checkpoint
from model.data.simulation.ground_truth import ClickWorld, load_click_world
from model.evaluation.benchmark.benchmark_scenario import (
    Scenario,
    benchmark_rows,
    has_enumerable_lists,
    request_batches,
    scenario_tables,
)
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache
from model.evaluation.benchmark.proposal_jobs import scenario_objective
from model.evaluation.benchmark.training_jobs import EvaluatorJob
from model.evaluation.list_quality import best_true_values, true_values
from model.evaluation.list_space import all_list_rewards, best_climbed_reward
from model.nets.request_tensors import RequestTensors
from model.search.scorer import EvaluatorScorer
from model.training.trainer import settings_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSpaceJob:
    """Rewards of all lists of the test requests under an evaluator; or only the best found."""

    evaluator: EvaluatorJob

    @property
    def scenario(self) -> Scenario:
        """Of the evaluator."""
        return self.evaluator.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.evaluator.title} space"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        problem = self.scenario
        return f"{problem.max_requests} {problem.climb_restarts} {settings_text(problem.config.objective)}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.evaluator,)

    def run(self, cache: JobCache) -> None:
        """Write `space` (R, S) where lists are enumerated, and `best` (R,)."""
        judge = read_checkpoint(cache.job_dir(self.evaluator)).load_evaluator()
        whole, found = has_enumerable_lists(self.scenario), []
        for _, request in request_batches(self.scenario):
            scorer = EvaluatorScorer(judge, request, scenario_objective(self.scenario))
            if whole:
                found.append(all_list_rewards(scorer).numpy())
            else:
                found.append(best_climbed_reward(scorer, self.scenario.climb_restarts).numpy())
        values = np.concatenate(found)
        kept = {"space": values, "best": values.max(axis=1)} if whole else {"best": values}
        cache.write_arrays(self, kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTrueValueJob:
    """True value of the best list of each test request in a simulated world, or the best found."""

    scenario: Scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.scenario.name} truth"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        problem = self.scenario
        return f"{problem.fingerprint} {problem.max_requests} {problem.climb_restarts}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return ()

    def run(self, cache: JobCache) -> None:
        """Write `best` (R,)."""
        world, tables = load_click_world(self.scenario.log), scenario_tables(self.scenario)
        rows = benchmark_rows(self.scenario)
        if has_enumerable_lists(self.scenario):
            cache.write_arrays(self, {"best": best_true_values(world, tables, rows)})
            return
        users, items, found = tables.user_index[rows], tables.candidates[rows], []
        for part, request in request_batches(self.scenario):
            scorer = ExpectedClicksScorer(world, request, users[part], items[part])
            found.append(best_climbed_reward(scorer, self.scenario.climb_restarts).numpy())
        cache.write_arrays(self, {"best": np.concatenate(found)})


@dataclass(frozen=True, slots=True)
class ExpectedClicksScorer:
    """Expected clicks as a function of lists, in the place of an evaluator.

    users: (B,) places of the users. items: (B, N) places of the candidates.
    """

    world: ClickWorld
    request: RequestTensors
    users: NDArray[np.int32]
    items: NDArray[np.int32]

    def __call__(self, lists: Tensor) -> Tensor:
        """(B, L, M) lists -> (B, L) expected clicks."""
        b, many, m = lists.shape
        shown = np.take_along_axis(self.items, lists.numpy().reshape(b, many * m), axis=1)
        value = self.world.expected_clicks(np.repeat(self.users, many), shown.reshape(b * many, m))
        return torch.from_numpy(value).view(b, many)


def true_values_of_proposals(scenario: Scenario, lists: NDArray[np.int16]) -> NDArray[np.float64]:
    """(R, C, M) lists of the test requests -> (R, C) expected clicks."""
    world, tables, rows = (
        load_click_world(scenario.log),
        scenario_tables(scenario),
        benchmark_rows(scenario),
    )
    columns = [
        true_values(world, tables, rows, lists[:, at].astype(np.int64))
        for at in range(lists.shape[1])
    ]
    return np.stack(columns, axis=1)
