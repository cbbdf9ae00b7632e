"""Compiled loops over lists: the sums and the choice of `choice.py`, and what is told of a list."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from model.contract.kernels.compilation import any_layout, compile_kernel, readonly, writable

_FLAG, _ROW, _PLACE, _DOUBLE = types.boolean, types.int32, types.int64, types.float64
_CHANCES = (types.float32, types.float64)

Probabilities = NDArray[np.floating[Any]]
Float64Array = NDArray[np.float64]


@compile_kernel(
    *[
        types.void(
            any_layout(kind, 4), any_layout(kind, 4), any_layout(_DOUBLE, 3), any_layout(_FLAG, 2),
            readonly(_DOUBLE, 1), _DOUBLE, _DOUBLE, _DOUBLE, writable(_DOUBLE, 3),
        )
        for kind in _CHANCES
    ]
)  # fmt: skip
def list_rewards(  # noqa: PLR0913 one number or array each
    p_click: Probabilities,
    p_conversion: Probabilities,
    values: Float64Array,
    slot_valid: NDArray[np.bool_],
    slot_weight: Float64Array,
    click: float,
    conversion: float,
    value: float,
    out: Float64Array,
) -> None:
    """Fill (E, B, L) with rewards.

    p_click, p_conversion: (E, B, L, M).  values: (B, L, M), NaN is 0; without rows there are none.
    slot_valid: (B, M); without rows all are.  slot_weight: (M,).
    """
    members, requests, lists, slots = p_click.shape
    counts = conversion != 0.0 or value != 0.0
    for e in range(members):
        for b in range(requests):
            for row in range(lists):
                total = 0.0
                for slot in range(slots):
                    if len(slot_valid) > 0 and not slot_valid[b, slot]:
                        continue
                    worth = click
                    if counts:
                        gained = conversion
                        if len(values) > 0 and not math.isnan(values[b, row, slot]):
                            gained += value * values[b, row, slot]
                        worth += p_conversion[e, b, row, slot] * gained
                    total += p_click[e, b, row, slot] * worth * slot_weight[slot]
                out[e, b, row] = total


@compile_kernel(
    types.void(readonly(_DOUBLE, 3), _DOUBLE, writable(_DOUBLE, 2), writable(_PLACE, 1))
)
def score_and_select_list(
    rewards: Float64Array, risk_aversion: float, scores: Float64Array, chosen: NDArray[np.int64]
) -> None:
    """Fill scores (B, L - 1) and chosen (B,) from rewards (E, B, L), the input list last."""
    members, requests, lists = rewards.shape
    for b in range(requests):
        chosen[b], most = lists - 1, 0.0
        for row in range(lists - 1):
            score = 0.0
            for e in range(members):
                score += rewards[e, b, row] - rewards[e, b, lists - 1]
            score /= members
            if risk_aversion != 0.0:
                spread = 0.0
                for e in range(members):
                    spread += (rewards[e, b, row] - rewards[e, b, lists - 1] - score) ** 2
                score -= risk_aversion * math.sqrt(spread / members)
            scores[b, row] = score
            if score > most:
                chosen[b], most = row, score


@compile_kernel(
    *[types.void(any_layout(kind, 3), _PLACE, writable(_DOUBLE, 1)) for kind in _CHANCES]
)
def ensemble_mean(probabilities: Probabilities, list_index: int, out: Float64Array) -> None:
    """Fill (M,) with the mean over members of one list's: (E, L, M)."""
    members = len(probabilities)
    for slot in range(len(out)):
        total = 0.0
        for e in range(members):
            total += probabilities[e, list_index, slot]
        out[slot] = total / members


@compile_kernel(types.void(readonly(_DOUBLE, 1), _DOUBLE, writable(_DOUBLE, 1)))
def round_to(values: Float64Array, steps_per_unit: float, out: Float64Array) -> None:
    """Fill (n,) with the values in whole steps of 1 / `steps`, halves to the even one."""
    for i in range(len(values)):
        out[i] = np.rint(values[i] * steps_per_unit) / steps_per_unit


_TWO: Any = types.UniTuple(_DOUBLE, 2)  # type: ignore[no-untyped-call]  # numba's, half typed


@compile_kernel(_TWO(any_layout(_ROW, 1), any_layout(_ROW, 1), readonly(_DOUBLE, 1), _PLACE))
def count_changes_and_clicks(
    served: NDArray[np.int32], start: NDArray[np.int32], p_click: Float64Array, size: int
) -> tuple[float, float]:
    """How many of the first `size` slots differ, and the sum of the served list's chances there."""
    changed, clicks = 0.0, 0.0
    for slot in range(size):
        changed += served[slot] != start[slot]
        clicks += p_click[slot]
    return changed, clicks
