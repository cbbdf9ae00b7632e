"""What refinement makes of the lists that a generator of ours would serve, as serving does.

Other methods are measured as they are: their lists are chosen from, and not climbed from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.nets.evaluator import Evaluator
from model.offline_report.comparison.listing import ListsJob, objective_of
from model.offline_report.comparison.problems import Problem, request_batches
from model.offline_report.comparison.training import GeneratorJob
from model.search import Scorer, refine


def rounds_of(job: ListsJob) -> int:
    """Steps of refinement that these lists are served with; 0 for other methods."""
    source = job.source
    return source.config().refine_rounds if isinstance(source, GeneratorJob) else 0


def climbed(
    problem: Problem, judge: Evaluator, starts: NDArray[Any], rounds: int
) -> NDArray[np.int64]:
    """Lists (R, C, M) after their ascent under the judge from lists (R, C, M)."""
    parts = []
    for part, request in request_batches(problem):
        scorer = Scorer(judge, request, objective_of(problem))
        some = torch.from_numpy(starts[part].astype(np.int64))
        parts.append(
            torch.stack([refine(scorer, at, rounds) for at in some.unbind(dim=1)], dim=1).numpy()
        )
    return np.concatenate(parts)
