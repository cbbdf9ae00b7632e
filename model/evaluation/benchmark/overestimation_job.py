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
from model.contract.scoring.objective import select_lists
from model.data.tables.split import VALIDATION
from model.evaluation.benchmark.benchmark_scenario import (
    REQUEST_BATCH_SIZE,
    Scenario,
    benchmark_rows,
    scenario_loader,
)
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache
from model.evaluation.benchmark.proposal_jobs import (
    SERVED_LIST_COUNT,
    ProposalJob,
    scenario_objective,
)
from model.evaluation.benchmark.training_jobs import EvaluatorJob
from model.nets.request_tensors import input_list
from model.search.scorer import EvaluatorScorer

RISK_AVERSION_STEP, MAX_RISK_AVERSION = 0.25, 10.0  # lambdas that are looked at

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overestimation:
    """Means over requests of the lists that would be served with one lambda.

    promised: gain over the input list by the evaluator that chose. second: by the one of other
    lists. spread: standard deviation of the gain over the first one's members.
    """

    risk_aversion: float
    predicted_gain: float
    holdout_gain: float
    member_std: float

    @property
    def is_covered(self) -> bool:
        """Whether promise less lambda spreads is no more than the other one expects."""
        return self.predicted_gain - self.risk_aversion * self.member_std <= self.holdout_gain


@dataclass(frozen=True, slots=True, kw_only=True)
class OverestimationJob:
    """Lists for validation requests, looked at by two evaluators.

    lists: of the generator that `judge` taught; only its way of proposing is used.
    second: learned from the lists that `judge` has not seen.
    """

    proposals: ProposalJob
    evaluator: EvaluatorJob
    holdout_evaluator: EvaluatorJob

    @property
    def scenario(self) -> Scenario:
        """Of the lists."""
        return self.proposals.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.proposals.title} optimism"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.scenario.max_requests} {SERVED_LIST_COUNT} {RISK_AVERSION_STEP} {MAX_RISK_AVERSION}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.proposals.source, self.evaluator, self.holdout_evaluator)

    def run(self, cache: JobCache) -> None:
        """Write the curve over lambda, and the smallest lambda that keeps its promise."""
        propose = self.proposals.build_proposer(cache)
        nets = [
            read_checkpoint(cache.job_dir(job)).load_evaluator()
            for job in (self.evaluator, self.holdout_evaluator)
        ]
        rows, gatherer = benchmark_rows(self.scenario, VALIDATION), scenario_loader(self.scenario)
        found: tuple[list[Floats], list[Floats]] = ([], [])
        rng = torch.Generator().manual_seed(self.evaluator.seed)
        for at in range(0, len(rows), REQUEST_BATCH_SIZE):
            request = gatherer.gather(rows[at : at + REQUEST_BATCH_SIZE]).request
            given = input_list(request).unsqueeze(1)
            lists = torch.cat([propose(request, SERVED_LIST_COUNT, rng), given], dim=1)
            for rewards, net in zip(found, nets, strict=True):
                seen = EvaluatorScorer(
                    net, request, scenario_objective(self.scenario)
                ).member_rewards(lists)
                rewards.append(seen.numpy().astype(np.float64))
        first, second = (np.concatenate(rewards, axis=1) for rewards in found)
        curve = [
            measure_overestimation(first, second, x)
            for x in np.arange(0.0, MAX_RISK_AVERSION + RISK_AVERSION_STEP, RISK_AVERSION_STEP)
        ]
        numbers = {
            "curve": [asdict(one) for one in curve],
            "risk_aversion": min_covering_risk_aversion(curve),
        }
        cache.write_values(self, numbers)


def measure_overestimation(
    selecting_rewards: Floats, holdout_rewards: Floats, risk_aversion: float
) -> Overestimation:
    """What is promised for the lists that are served with this lambda.

    first, second: (E, R, L) rewards under both evaluators, the input list last.
    """
    place = select_lists(selecting_rewards, risk_aversion)
    at = np.arange(len(place))
    gains = [
        (rewards - rewards[..., -1:])[:, at, place]
        for rewards in (selecting_rewards, holdout_rewards)
    ]
    return Overestimation(
        risk_aversion=float(risk_aversion),
        predicted_gain=float(gains[0].mean()),
        holdout_gain=float(gains[1].mean()),
        member_std=float(gains[0].std(axis=0).mean()),
    )


def min_covering_risk_aversion(curve: Sequence[Overestimation]) -> float | None:
    """The smallest lambda that keeps its promise; None where none does."""
    return next((one.risk_aversion for one in curve if one.is_covered), None)
