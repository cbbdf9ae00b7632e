"""The ascent from the chosen list: steps to the best neighbor, as many as there is time for.

Says which list is reached; whether that one is served is decided in `search.py`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import Manifest
from model.contract.scoring.local_search import reward_weight_inputs, swappable_candidates
from model.contract.scoring.objective import RewardWeights
from service.errors import DeadlineExceeded
from service.rerank.cost import Cost
from service.rerank.deadline import Deadline
from service.rerank.steps import Ask, Steps
from service.rerank.task import Lists, Task


def climb(
    task: Task, manifest: Manifest, at: Lists, cost: Cost, deadline: Deadline
) -> Steps[tuple[Lists, bool]]:
    """The list that is reached from `rate_at`, and whether time held every step that was wanted.

    A step that the deadline ends is for nothing, and so are those before it: one that may not fit
    is not begun. Raises DeadlineExceeded where one is ended all the same.
    """
    if not manifest.refine_rounds:
        return at, True
    arrays, rules, clock = inputs(task, manifest), task.has_rows, deadline.clock
    for taken in range(manifest.refine_rounds):
        if not cost.holds_a_step(candidates=task.candidates, left_s=deadline.left_s()):
            if not taken:
                cost.refuse_steps()
            return at, False
        began = clock()
        try:
            stepped = (yield Ask("refine", arrays | {"at": at[None]}, rules))[0]
        except DeadlineExceeded:
            cost.observe_step(task.candidates, clock() - began, ended=True)
            raise
        cost.observe_step(task.candidates, clock() - began)
        if (stepped == at).all():
            break
        at = stepped
    return at, True


def inputs(task: Task, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """What all steps of a request take, but for the list."""
    editable, free = task.rules.editable[None], task.context["cand_valid"]
    if task.ruled:
        free = swappable_candidates(free, task.slot_valid[None], editable, task.start[None])
    given = {"slot_valid": task.slot_valid[None], "editable": editable, "movable": free}
    return counted(task, manifest) | given | task.rule_inputs


def counted(task: Task, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """What slots, clicks and conversions count, by the request's own objective."""
    objective, slots, converts = task.objective, len(task.start), manifest.converts
    if task.values is None:
        return _worth(objective, task.size, slots, task.candidates, converts)
    valid, values = task.slot_valid[None], task.values[None]
    return reward_weight_inputs(objective, valid, values, task.candidates, converts=converts)


@lru_cache(maxsize=1024)
def _worth(
    objective: RewardWeights, size: int, slots: int, candidates: int, converts: bool
) -> dict[str, NDArray[Any]]:
    """Shared by all requests of these sizes and weights that name no values."""
    valid = (np.arange(slots) < size)[None]
    return reward_weight_inputs(objective, valid, None, candidates, converts=converts)
