"""Job: by how many spreads an evaluator of other lists falls short of what ours promises.

Nothing but logs is asked, so it says which lambda a log needs: the service ranks lists by promise
less lambda spreads, and that is honest where it equals what the evaluator of other lists expects.
Both learn from the same users: one of other users would know nothing of their tastes, and would
expect too little of every list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint import read_checkpoint
from model.contract.choice import choose
from model.data.split import VALIDATION
from model.nets.inputs import input_list
from model.offline_report.comparison.jobs import Job, Store
from model.offline_report.comparison.listing import SERVED, ListsJob, objective_of
from model.offline_report.comparison.problems import (
    BATCH,
    Problem,
    gatherer_of,
    measured_rows,
)
from model.offline_report.comparison.training import EvaluatorJob
from model.search import Scorer

STEP, MOST = 0.25, 10.0  # lambdas that are looked at

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Means over requests of the lists that would be served with one lambda.

    promised: gain over the input list by the evaluator that chose. second: by the one of other
    lists. spread: standard deviation of the gain over the first one's members.
    """

    pessimism: float
    promised: float
    second: float
    spread: float

    @property
    def kept(self) -> bool:
        """Whether promise less lambda spreads is no more than the other one expects."""
        return self.promised - self.pessimism * self.spread <= self.second


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimismJob:
    """Lists for validation requests, looked at by two evaluators.

    lists: of the generator that `judge` taught; only its way of proposing is used.
    second: learned from the lists that `judge` has not seen.
    """

    lists: ListsJob
    judge: EvaluatorJob
    second: EvaluatorJob

    @property
    def problem(self) -> Problem:
        """Of the lists."""
        return self.lists.problem

    @property
    def title(self) -> str:
        """See `Job`."""
        return f"{self.lists.title} optimism"

    def depends_on(self) -> str:
        """See `Job`."""
        return f"{self.problem.requests} {SERVED} {STEP} {MOST}"

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return (self.lists.source, self.judge, self.second)

    def run(self, store: Store) -> None:
        """Write the curve over lambda, and the smallest lambda that keeps its promise."""
        propose = self.lists.proposer(store)
        nets = [read_checkpoint(store.folder(job)).evaluator() for job in (self.judge, self.second)]
        rows, gatherer = measured_rows(self.problem, VALIDATION), gatherer_of(self.problem)
        found: tuple[list[Floats], list[Floats]] = ([], [])
        rng = torch.Generator().manual_seed(self.judge.seed)
        for at in range(0, len(rows), BATCH):
            request = gatherer.gather(rows[at : at + BATCH]).request
            given = input_list(request).unsqueeze(1)
            lists = torch.cat([propose(request, SERVED, rng), given], dim=1)
            for rewards, net in zip(found, nets, strict=True):
                seen = Scorer(net, request, objective_of(self.problem)).members(lists)
                rewards.append(seen.numpy().astype(np.float64))
        first, second = (np.concatenate(rewards, axis=1) for rewards in found)
        curve = [promise(first, second, x) for x in np.arange(0.0, MOST + STEP, STEP)]
        numbers = {"curve": [asdict(one) for one in curve], "lambda": honest_lambda(curve)}
        store.write_numbers(self, numbers)


def promise(first: Floats, second: Floats, pessimism: float) -> Promise:
    """What is promised for the lists that are served with this lambda.

    first, second: (E, R, L) rewards under both evaluators, the input list last.
    """
    place = choose(first, pessimism)
    at = np.arange(len(place))
    gains = [(rewards - rewards[..., -1:])[:, at, place] for rewards in (first, second)]
    return Promise(
        pessimism=float(pessimism),
        promised=float(gains[0].mean()),
        second=float(gains[1].mean()),
        spread=float(gains[0].std(axis=0).mean()),
    )


def honest_lambda(curve: Sequence[Promise]) -> float | None:
    """The smallest lambda that keeps its promise; None where none does."""
    return next((one.pessimism for one in curve if one.kept), None)
