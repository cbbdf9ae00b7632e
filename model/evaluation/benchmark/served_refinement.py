"""Refinement of selected lists, as the service applies it to lists of a Relist generator.

Lists of other methods are selected but not refined.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.evaluation.benchmark.benchmark_scenario import Scenario, request_batches
from model.evaluation.benchmark.proposal_jobs import scenario_objective
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.search.scorer import EvaluatorScorer, refine_lists


def refine_proposals(
    scenario: Scenario, evaluator: Evaluator, starts: NDArray[Any], rounds: int
) -> NDArray[np.int64]:
    """(R, C, M) lists after hill climbing under the evaluator from lists (R, C, M)."""
    parts = []
    for part, request in request_batches(scenario):
        scorer = EvaluatorScorer(evaluator, request, scenario_objective(scenario))
        batch_lists = torch.from_numpy(starts[part].astype(np.int64))
        refined = [refine_lists(scorer, lists, rounds) for lists in batch_lists.unbind(dim=1)]
        parts.append(torch.stack(refined, dim=1).numpy())
    return np.concatenate(parts)
