"""Jobs that look at whole spaces of lists: what an evaluator says of them, and what is true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import read_checkpoint
from model.data.worlds import ClickWorld, load_world
from model.loop import told
from model.nets.inputs import RequestTensors
from model.offline_report.comparison.jobs import Job, Store
from model.offline_report.comparison.listing import objective_of
from model.offline_report.comparison.problems import (
    Problem,
    exact,
    measured_rows,
    request_batches,
    tables_of,
)
from model.offline_report.comparison.training import EvaluatorJob
from model.offline_report.space import climbed_reward, space_rewards
from model.offline_report.truth import best_true_values, true_values
from model.search import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceJob:
    """Rewards of all lists of the test requests under an evaluator; or only the best found."""

    evaluator: EvaluatorJob

    @property
    def problem(self) -> Problem:
        """Of the evaluator."""
        return self.evaluator.problem

    @property
    def title(self) -> str:
        """See `Job`."""
        return f"{self.evaluator.title} space"

    def depends_on(self) -> str:
        """See `Job`."""
        problem = self.problem
        return f"{problem.requests} {problem.restarts} {told(problem.config.objective)}"

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return (self.evaluator,)

    def run(self, store: Store) -> None:
        """Write `space` (R, S) where lists are enumerated, and `best` (R,)."""
        judge = read_checkpoint(store.folder(self.evaluator)).evaluator()
        whole, found = exact(self.problem), []
        for _, request in request_batches(self.problem):
            scorer = Scorer(judge, request, objective_of(self.problem))
            if whole:
                found.append(space_rewards(scorer).numpy())
            else:
                found.append(climbed_reward(scorer, self.problem.restarts).numpy())
        values = np.concatenate(found)
        kept = {"space": values, "best": values.max(axis=1)} if whole else {"best": values}
        store.write_arrays(self, kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthJob:
    """True value of the best list of each test request in a simulated world, or the best found."""

    problem: Problem

    @property
    def title(self) -> str:
        """See `Job`."""
        return f"{self.problem.name} truth"

    def depends_on(self) -> str:
        """See `Job`."""
        problem = self.problem
        return f"{problem.fingerprint} {problem.requests} {problem.restarts}"

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return ()

    def run(self, store: Store) -> None:
        """Write `best` (R,)."""
        world, tables = load_world(self.problem.log), tables_of(self.problem)
        rows = measured_rows(self.problem)
        if exact(self.problem):
            store.write_arrays(self, {"best": best_true_values(world, tables, rows)})
            return
        users, items, found = tables.user_place[rows], tables.candidates[rows], []
        for part, request in request_batches(self.problem):
            scorer = TrueScorer(world, request, users[part], items[part])
            found.append(climbed_reward(scorer, self.problem.restarts).numpy())
        store.write_arrays(self, {"best": np.concatenate(found)})


@dataclass(frozen=True, slots=True)
class TrueScorer:
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


def true_of_lists(problem: Problem, lists: NDArray[np.int16]) -> NDArray[np.float64]:
    """(R, C, M) lists of the test requests -> (R, C) expected clicks."""
    world, tables, rows = load_world(problem.log), tables_of(problem), measured_rows(problem)
    columns = [
        true_values(world, tables, rows, lists[:, at].astype(np.int64))
        for at in range(lists.shape[1])
    ]
    return np.stack(columns, axis=1)
