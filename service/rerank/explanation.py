"""Explains a served list by one more evaluator batch over its neighbors.

For each slot: the gain over the input list's item there, and the best neighbors with their gains.
Also names every list that was compared. The batch has a fixed largest size, whatever N is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.rerank.deadline import Deadline
from service.rerank.graph_calls import GraphCalls
from service.rerank.list_search import feasible, score_lists
from service.rerank.response_builder import round_values
from service.rerank.search_request import Lists, SearchRequest, SearchResult

MAX_NEIGHBORS = 512  # lists of the batch
_NEIGHBORS_PER_SLOT = 5  # in the response, best first
_HEADROOM = 1.5


@dataclass(frozen=True, slots=True)
class Neighbors:
    """Lists one edit away from the served list.

    lists: (X, M) int32.
    slot: (X,) the edited slot.
    candidate_index: (X,) the candidate that the edit puts there.
    """

    lists: Lists
    slot: NDArray[np.int64]
    candidate_index: NDArray[np.int64]


def feasible_neighbors(request: SearchRequest, served: Lists) -> Neighbors:
    """One-edit neighbors that obey the rules: each slot's input item first, then upstream order.

    A candidate that is already in the list swaps slots, as in generation.
    """
    size, start = request.list_size, request.input_list
    slots = [j for j in range(size) if request.rules.editable[j]]
    per_slot = MAX_NEIGHBORS // max(len(slots), 1)
    lists, slot, candidate_index = [], [], []
    for j in slots:
        order = [int(start[j]), *(k for k in range(request.num_candidates) if k != start[j])]
        for k in [k for k in order if k != served[j] and request.rules.allowed[k]][:per_slot]:
            lists.append(_edited(served, size, j, k))
            slot.append(j)
            candidate_index.append(k)
    neighbors = Neighbors(
        np.asarray(lists, dtype=np.int32).reshape(-1, len(served)),
        np.asarray(slot, dtype=np.int64),
        np.asarray(candidate_index, dtype=np.int64),
    )
    kept = feasible(neighbors.lists, request) if lists else np.zeros(0, dtype=bool)
    return Neighbors(neighbors.lists[kept], neighbors.slot[kept], neighbors.candidate_index[kept])


def explain_result(
    request: SearchRequest, result: SearchResult, item_ids: Sequence[str], *, deadline: Deadline
) -> GraphCalls[dict[str, Any] | None]:
    """The response's `explanation`; None when its batch does not fit before the deadline."""
    neighbors = feasible_neighbors(request, result.chosen_list)
    # the refined list was scored in a run of its own
    evaluated = len(result.lists) - (result.refined_index is not None)
    needed_s = result.evaluate_s / evaluated * len(neighbors.lists) * _HEADROOM
    if needed_s > deadline.left_s():
        return None
    gains = np.zeros(0)
    if len(neighbors.lists):
        scores = yield from score_lists(request, neighbors.lists)
        gains = scores.rewards.mean(axis=0) - result.reward
    size = request.list_size
    return {
        "slots": [
            _slot(j, request, result, neighbors=neighbors, gains=gains, item_ids=item_ids)
            for j in range(size)
        ],
        "lists": _compared_lists(result, size, item_ids),
    }


def _slot(
    j: int,
    request: SearchRequest,
    result: SearchResult,
    *,
    neighbors: Neighbors,
    gains: NDArray[Any],
    item_ids: Sequence[str],
) -> dict[str, Any]:
    """The explanation of slot j."""
    served, start, candidate = result.chosen_list, request.input_list, neighbors.candidate_index
    here = np.flatnonzero(neighbors.slot == j)
    restored = here[candidate[here] == start[j]]  # the neighbor with the input list's item
    best = here[np.argsort(-gains[here], kind="stable")][:_NEIGHBORS_PER_SLOT]
    slot_of = {int(k): i for i, k in enumerate(served[request.slot_valid])}
    rounded = round_values(gains)
    return {
        "slot": j,
        "item_id": item_ids[served[j]],
        "p_click": round_values(result.p_click)[j],
        "input_item_id": item_ids[start[j]],
        "gain_over_input_item": -rounded[restored[0]] if len(restored) else None,
        "neighbors": [
            {
                "item_id": item_ids[candidate[x]],
                "gain": rounded[x],
                "swapped_with": slot_of.get(int(candidate[x])),
            }
            for x in best
        ],
    }


def _compared_lists(
    result: SearchResult, size: int, item_ids: Sequence[str]
) -> list[dict[str, Any]]:
    rewards = round_values(result.rewards.mean(axis=0))
    scores = [*round_values(result.scores), 0.0]  # the input list's gain over itself is 0
    sources = {result.refined_index: "refined", len(result.lists) - 1: "input"}
    return [
        {
            "source": sources.get(index, "generated"),
            "item_ids": [item_ids[k] for k in row[:size]],
            "reward": rewards[index],
            "score": scores[index],
            "served": index == result.chosen_index,
        }
        for index, row in enumerate(result.lists)
    ]


def _edited(served: Lists, size: int, slot: int, candidate_index: int) -> Lists:
    """The served list with the candidate in `slot`; a swap when the list already has it."""
    edited = served.copy()
    other = np.flatnonzero(served[:size] == candidate_index)
    if len(other):
        edited[other[0]] = served[slot]
    edited[slot] = candidate_index
    return edited
