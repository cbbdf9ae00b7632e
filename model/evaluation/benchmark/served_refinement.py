"""What refinement makes of the lists that a generator of ours would serve, as serving does.

Other methods are measured as they are: their lists are chosen from, and not climbed from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.evaluation.benchmark.benchmark_scenario import Scenario, request_batches
from model.evaluation.benchmark.proposal_jobs import ProposalJob, scenario_objective
from model.evaluation.benchmark.training_jobs import GeneratorJob
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.search.scorer import EvaluatorScorer, refine_lists


def refinement_rounds(job: ProposalJob) -> int:
    """Steps of refinement that these lists are served with; 0 for other methods."""
    source = job.source
    return source.config().refine_rounds if isinstance(source, GeneratorJob) else 0


def refine_proposals(
    scenario: Scenario, evaluator: Evaluator, starts: NDArray[Any], rounds: int
) -> NDArray[np.int64]:
    """Lists (R, C, M) after their ascent under the judge from lists (R, C, M)."""
    parts = []
    for part, request in request_batches(scenario):
        scorer = EvaluatorScorer(evaluator, request, scenario_objective(scenario))
        some = torch.from_numpy(starts[part].astype(np.int64))
        parts.append(
            torch.stack(
                [refine_lists(scorer, at, rounds) for at in some.unbind(dim=1)], dim=1
            ).numpy()
        )
    return np.concatenate(parts)
