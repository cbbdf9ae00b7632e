"""Inputs of the refiner's graph beside the evaluator's encoding, and the loop of its steps.

Shared by golden outputs, verification and the service. Start list and selection of the outcome are
in `objective.py`.
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
    """Weights of slots, clicks and conversions, for graphs that know no objective.

    With `normalize` each row is a share of its largest weight: the graph ignores gains below a
    fixed size, and the best list must not depend on the unit of values.

    Args:
        objective: the weights.
        slot_valid: (B, M) bool.
        values: (B, N), value of each candidate; None and NaN count as 0.
        candidates: N.
        converts: whether p_conversion was trained; else conversions count 0.
        normalize: whether weights are shares of the largest; else rewards keep their unit.

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
    most[most == 0] = 1.0  # all weights are 0: no list gains
    return {
        "slot_weight": slot_weights(slots, objective.discount) * slot_valid,
        "click_worth": (click / most).astype(np.float32),
        "conversion_worth": (conversion / most).astype(np.float32),
    }


def swappable_candidates(
    cand_valid: BoolArray, slot_valid: BoolArray, editable: BoolArray, start: NDArray[Any]
) -> BoolArray:
    """(B, N) bool: candidates that may change slots; pinned ones may not.

    Args:
        cand_valid: (B, N) bool.
        slot_valid, editable: (B, M) bool; an existing slot that is not editable holds a pin.
        start: (B, M) int, candidate indices.
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
    """Inputs of the refiner that no step changes, beside the generator's inputs; by name.

    Args:
        generator_inputs: slot_valid, cand_valid, editable and start are read.
        objective, values: as in `reward_weight_inputs`; conversions count.
    """
    valid, allowed = generator_inputs["slot_valid"], generator_inputs["cand_valid"]
    free = swappable_candidates(
        allowed, valid, generator_inputs["editable"], generator_inputs["start"]
    )
    return reward_weight_inputs(objective, valid, values, allowed.shape[1]) | {"movable": free}


def iterate_local_search(
    step: Callable[[ListsT], ListsT], lists: ListsT, max_rounds: int
) -> ListsT:
    """Lists (B, M) after at most `max_rounds` steps; ends where no list has a better neighbor."""
    for _ in range(max_rounds):
        stepped = step(lists)
        if (stepped == lists).all():
            break
        lists = stepped
    return lists
