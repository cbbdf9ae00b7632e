"""Hill climbing from the selected list by the refiner graph, one step a call, within the deadline.

Returns the list that is reached. `list_search.py` decides whether that list is served.
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
from service.rerank.deadline import Deadline
from service.rerank.graph_calls import GraphCall, GraphCalls
from service.rerank.latency_model import SearchLatency
from service.rerank.search_request import Lists, SearchRequest


def hill_climb_by_deadline(
    request: SearchRequest,
    manifest: Manifest,
    current: Lists,
    *,
    latency: SearchLatency,
    deadline: Deadline,
) -> GraphCalls[tuple[Lists, bool]]:
    """The list reached from `current` (M,), and whether time allowed every step.

    Starts a step only if it fits, because a terminated step also wastes the steps before it.
    Raises DeadlineExceeded when a step is terminated nevertheless.
    """
    if not manifest.refine_rounds:
        return current, True
    arrays, clock = refiner_inputs(request, manifest), deadline.clock
    candidates = request.num_candidates
    for taken in range(manifest.refine_rounds):
        if not latency.fits_refine_step(candidates=candidates, left_s=deadline.left_s()):
            if not taken:
                latency.decay_refused_step()
            return current, False
        started = clock()
        call = GraphCall("refine", arrays | {"at": current[None]}, request.has_count_rules)
        try:
            batch: NDArray[np.int32] = yield call  # (1, M)
        except DeadlineExceeded:
            latency.observe_refine_step(candidates, clock() - started, terminated=True)
            raise
        latency.observe_refine_step(candidates, clock() - started)
        neighbor: Lists = batch[0]
        if (neighbor == current).all():
            break
        current = neighbor
    return current, True


def refiner_inputs(request: SearchRequest, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Inputs of all refinement steps of a request, without the list."""
    editable, allowed = request.rules.editable[None], request.fixed_inputs["cand_valid"]
    if request.has_constraints:
        allowed = swappable_candidates(
            allowed, request.slot_valid[None], editable, request.input_list[None]
        )
    masks = {"slot_valid": request.slot_valid[None], "editable": editable, "movable": allowed}
    return objective_inputs(request, manifest) | masks | request.rule_inputs


def objective_inputs(request: SearchRequest, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Weights of slots, clicks and conversions under the request's own objective."""
    objective, slots, converts = request.objective, len(request.input_list), manifest.converts
    candidates = request.num_candidates
    if request.values is None:
        return _cached_weights(objective, request.list_size, slots, candidates, converts)
    valid, values = request.slot_valid[None], request.values[None]
    return reward_weight_inputs(objective, valid, values, candidates, converts=converts)


@lru_cache(maxsize=1024)
def _cached_weights(
    objective: RewardWeights, list_size: int, slots: int, candidates: int, converts: bool
) -> dict[str, NDArray[Any]]:
    """Weights shared by all requests of these sizes and this objective that have no values."""
    valid = (np.arange(slots) < list_size)[None]
    return reward_weight_inputs(objective, valid, None, candidates, converts=converts)
