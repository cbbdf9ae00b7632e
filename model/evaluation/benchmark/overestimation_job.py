"""Job that measures the overestimation of selected lists with a holdout evaluator.

Uses the log only, no ground truth. The service ranks lists by mean gain minus risk aversion times
the standard deviation over members. The job finds the smallest risk aversion for which this value
is at most the gain predicted by an evaluator of other lists of the same users.
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

RISK_AVERSION_STEP = 0.25
MAX_RISK_AVERSION = 10.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overestimation:
    """Means over requests, in reward, of the lists selected with one risk aversion.

    Attributes:
        risk_aversion: weight of the standard deviation in the selection.
        predicted_gain: gain over the input list by the selecting evaluator.
        holdout_gain: the same by the holdout evaluator.
        member_std: standard deviation of the gain over members of the selecting evaluator.
    """

    risk_aversion: float
    predicted_gain: float
    holdout_gain: float
    member_std: float

    @property
    def is_covered(self) -> bool:
        """Whether predicted gain - risk aversion * std is at most the holdout gain."""
        return self.predicted_gain - self.risk_aversion * self.member_std <= self.holdout_gain


@dataclass(frozen=True, slots=True, kw_only=True)
class OverestimationJob:
    """Lists of validation requests, scored by two evaluators.

    Attributes:
        proposals: job of the generator trained with `evaluator`; provides the proposer only.
        evaluator: selects the lists.
        holdout_evaluator: trained on the lists that `evaluator` was not trained on.
    """

    proposals: ProposalJob
    evaluator: EvaluatorJob
    holdout_evaluator: EvaluatorJob

    @property
    def scenario(self) -> Scenario:
        """Scenario of the proposals."""
        return self.proposals.scenario

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.proposals.title} overestimation"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        grid = f"{RISK_AVERSION_STEP} {MAX_RISK_AVERSION}"
        return f"{self.scenario.max_requests} {SERVED_LIST_COUNT} {grid}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.proposals.source, self.evaluator, self.holdout_evaluator)

    def run(self, cache: JobCache) -> None:
        """Write the curve over the risk aversion, and the smallest covered risk aversion."""
        propose = self.proposals.build_proposer(cache)
        nets = [
            read_checkpoint(cache.job_dir(job)).load_evaluator()
            for job in (self.evaluator, self.holdout_evaluator)
        ]
        rows, loader = benchmark_rows(self.scenario, VALIDATION), scenario_loader(self.scenario)
        parts: tuple[list[Floats], list[Floats]] = ([], [])
        objective = scenario_objective(self.scenario)
        rng = torch.Generator().manual_seed(self.evaluator.seed)
        for start in range(0, len(rows), REQUEST_BATCH_SIZE):
            request = loader.gather(rows[start : start + REQUEST_BATCH_SIZE]).request
            inputs = input_list(request).unsqueeze(1)
            lists = torch.cat([propose(request, SERVED_LIST_COUNT, rng), inputs], dim=1)
            for rewards, net in zip(parts, nets, strict=True):
                scored = EvaluatorScorer(net, request, objective).member_rewards(lists)
                rewards.append(scored.numpy().astype(np.float64))
        selecting, holdout = (np.concatenate(rewards, axis=1) for rewards in parts)
        curve = [
            measure_overestimation(selecting, holdout, x)
            for x in np.arange(0.0, MAX_RISK_AVERSION + RISK_AVERSION_STEP, RISK_AVERSION_STEP)
        ]
        numbers = {
            "curve": [asdict(point) for point in curve],
            "risk_aversion": min_covering_risk_aversion(curve),
        }
        cache.write_values(self, numbers)


def measure_overestimation(
    selecting_rewards: Floats, holdout_rewards: Floats, risk_aversion: float
) -> Overestimation:
    """Mean gains of the lists selected with this risk aversion.

    Args:
        selecting_rewards: (E, R, L) rewards by the selecting evaluator, the input list last.
        holdout_rewards: (E, R, L) rewards by the holdout evaluator.
        risk_aversion: weight of the standard deviation in the selection.
    """
    chosen = select_lists(selecting_rewards, risk_aversion)
    requests = np.arange(len(chosen))
    gains = [
        (rewards - rewards[..., -1:])[:, requests, chosen]
        for rewards in (selecting_rewards, holdout_rewards)
    ]
    return Overestimation(
        risk_aversion=float(risk_aversion),
        predicted_gain=float(gains[0].mean()),
        holdout_gain=float(gains[1].mean()),
        member_std=float(gains[0].std(axis=0).mean()),
    )


def min_covering_risk_aversion(curve: Sequence[Overestimation]) -> float | None:
    """The smallest covered risk aversion; None if no point is covered."""
    return next((point.risk_aversion for point in curve if point.is_covered), None)
