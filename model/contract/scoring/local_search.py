"""What the refiner's graph takes beside the evaluator's encoding, and the ascent by its steps.

One home for golden answers, verification and the service. Which list it starts from, and whether
the outcome is served, is `choice.py`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.contract.scoring.objective import RewardWeights, slot_weights

NamedArrays = dict[str, NDArray[Any]]
BoolArray = NDArray[np.bool_]
ListsT = TypeVar("ListsT", bound=Any)  # arrays or tensors
REWARD_WEIGHT_INPUTS = ("slot_weight", "click_worth", "conversion_worth")


def reward_weight_inputs(
    objective: RewardWeights,
    slot_valid: BoolArray,
    values: NDArray[np.floating[Any]] | None,
    candidates: int,
    *,
    converts: bool = True,
    normalize: bool = True,
) -> NamedArrays:
    """What slots, clicks and conversions count, for graphs that know no objective.

    Each row is a share of its largest weight: `model/nets/local_search/best_neighbor_step.py`
    ignores gains below a fixed size, and the best list must not depend on the unit of values.

    Args:
        objective: the weights.
        slot_valid: (B, M).
        values: (B, N), value of each candidate; None and NaN count as 0.
        candidates: N.
        converts: whether p_conversion was trained; else conversions count nothing.
        relative: as such a share; else as the objective says it, so that rewards are its rewards.

    Returns:
        slot_weight (B, M), click_worth (B, 1), conversion_worth (B, N), float32.
    """
    rows, slots = slot_valid.shape
    click = np.full((rows, 1), objective.click)
    conversion = np.zeros((rows, candidates))
    if converts:
        conversion += objective.conversion
        if values is not None and objective.value:
            conversion += objective.value * np.where(np.isnan(values), 0.0, values)
    most = np.maximum(abs(conversion).max(axis=1, keepdims=True), abs(click))
    if not normalize:
        most[:] = 1.0
    most[most == 0] = 1.0  # nothing counts: no list gains
    return {
        "slot_weight": slot_weights(slots, objective.discount) * slot_valid,
        "click_worth": (click / most).astype(np.float32),
        "conversion_worth": (conversion / most).astype(np.float32),
    }


def swappable_candidates(
    cand_valid: BoolArray, slot_valid: BoolArray, editable: BoolArray, start: NDArray[Any]
) -> BoolArray:
    """(B, N): candidates that may change places, which pinned ones may not.

    Args:
        cand_valid: (B, N).
        slot_valid, editable: (B, M); a slot that is there and not editable holds a pinned item.
        start: (B, M), places in the candidates.
    """
    pinned = slot_valid & ~editable
    if not pinned.any():
        return cand_valid
    free = cand_valid.copy()
    rows, slots = np.nonzero(pinned)
    free[rows, start[rows, slots]] = False
    return free


def refiner_fixed_inputs(
    generator_inputs: NamedArrays, objective: RewardWeights, values: NDArray[Any] | None
) -> NamedArrays:
    """By name, what the refiner takes that no step changes, beside `given`.

    Args:
        given: the generator's inputs; slot_valid, cand_valid, editable and start are read.
        objective, values: as `worth` takes them; conversions count.
    """
    valid, allowed = generator_inputs["slot_valid"], generator_inputs["cand_valid"]
    free = swappable_candidates(
        allowed, valid, generator_inputs["editable"], generator_inputs["start"]
    )
    return reward_weight_inputs(objective, valid, values, allowed.shape[1]) | {"movable": free}


def iterate_local_search(
    step: Callable[[ListsT], ListsT], lists: ListsT, max_rounds: int
) -> ListsT:
    """Lists (B, M) after at most so many steps; ends where no list has a better neighbor."""
    for _ in range(max_rounds):
        stepped = step(lists)
        if (stepped == lists).all():
            break
        lists = stepped
    return lists
