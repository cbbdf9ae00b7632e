"""Jobs that evaluate whole list spaces, by an evaluator and by true value."""

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
    """Evaluator rewards of all lists of a test request; in a large space only the best reward."""

    evaluator: EvaluatorJob

    @property
    def scenario(self) -> Scenario:
        """Scenario of the evaluator."""
        return self.evaluator.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.evaluator.title} space"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        scenario = self.scenario
        objective = settings_text(scenario.config.objective)
        return f"{scenario.max_requests} {scenario.climb_restarts} {objective}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.evaluator,)

    def run(self, cache: JobCache) -> None:
        """Write `best` (R,), and `space` (R, S) if the lists are enumerated."""
        evaluator = read_checkpoint(cache.job_dir(self.evaluator)).load_evaluator()
        is_enumerable, parts = has_enumerable_lists(self.scenario), []
        for _, request in request_batches(self.scenario):
            scorer = EvaluatorScorer(evaluator, request, scenario_objective(self.scenario))
            if is_enumerable:
                parts.append(all_list_rewards(scorer).numpy())
            else:
                parts.append(best_climbed_reward(scorer, self.scenario.climb_restarts).numpy())
        values = np.concatenate(parts)
        if is_enumerable:
            cache.write_arrays(self, {"space": values, "best": values.max(axis=1)})
        else:
            cache.write_arrays(self, {"best": values})


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTrueValueJob:
    """Expected clicks of the best list of each test request: exact, or the best of a search."""

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
        users, items, parts = tables.user_index[rows], tables.candidates[rows], []
        for part, request in request_batches(self.scenario):
            scorer = ExpectedClicksScorer(world, request, users[part], items[part])
            parts.append(best_climbed_reward(scorer, self.scenario.climb_restarts).numpy())
        cache.write_arrays(self, {"best": np.concatenate(parts)})


@dataclass(frozen=True, slots=True)
class ExpectedClicksScorer:
    """Scores lists by expected clicks of a click world; a `ListRewardFunction`.

    Attributes:
        world: click world.
        request: tensors of B requests.
        users: (B,) int32, user indices of the world.
        items: (B, N) int32, item indices of the candidates.
    """

    world: ClickWorld
    request: RequestTensors
    users: NDArray[np.int32]
    items: NDArray[np.int32]

    def __call__(self, lists: Tensor) -> Tensor:
        """(B, L, M) lists -> (B, L) expected clicks."""
        b, count, m = lists.shape
        shown = np.take_along_axis(self.items, lists.numpy().reshape(b, count * m), axis=1)
        value = self.world.expected_clicks(
            np.repeat(self.users, count), shown.reshape(b * count, m)
        )
        return torch.from_numpy(value).view(b, count)


def true_values_of_proposals(scenario: Scenario, lists: NDArray[np.int16]) -> NDArray[np.float64]:
    """(R, C, M) lists of the test requests -> (R, C) expected clicks."""
    world, tables, rows = (
        load_click_world(scenario.log),
        scenario_tables(scenario),
        benchmark_rows(scenario),
    )
    columns = [
        true_values(world, tables, rows, lists[:, i].astype(np.int64))
        for i in range(lists.shape[1])
    ]
    return np.stack(columns, axis=1)
