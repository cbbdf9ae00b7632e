"""Compiled loops over lists: the sums and the choice of `choice.py`, and what is told of a list."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from model.contract.compiled import array, compiled, given, strided

_FLAG, _ROW, _PLACE, _DOUBLE = types.boolean, types.int32, types.int64, types.float64
_CHANCES = (types.float32, types.float64)

Chances = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]


@compiled(
    *[
        types.void(
            strided(kind, 4), strided(kind, 4), strided(_DOUBLE, 3), strided(_FLAG, 2),
            given(_DOUBLE, 1), _DOUBLE, _DOUBLE, _DOUBLE, array(_DOUBLE, 3),
        )
        for kind in _CHANCES
    ]
)  # fmt: skip
def add_up(  # noqa: PLR0913 one number or array each
    p_click: Chances,
    p_conversion: Chances,
    values: Doubles,
    slot_valid: NDArray[np.bool_],
    slot_weight: Doubles,
    click: float,
    conversion: float,
    value: float,
    out: Doubles,
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


@compiled(types.void(given(_DOUBLE, 3), _DOUBLE, array(_DOUBLE, 2), array(_PLACE, 1)))
def pick(rewards: Doubles, pessimism: float, scores: Doubles, chosen: NDArray[np.int64]) -> None:
    """Fill scores (B, L - 1) and chosen (B,) from rewards (E, B, L), the input list last."""
    members, requests, lists = rewards.shape
    for b in range(requests):
        chosen[b], most = lists - 1, 0.0
        for row in range(lists - 1):
            score = 0.0
            for e in range(members):
                score += rewards[e, b, row] - rewards[e, b, lists - 1]
            score /= members
            if pessimism != 0.0:
                spread = 0.0
                for e in range(members):
                    spread += (rewards[e, b, row] - rewards[e, b, lists - 1] - score) ** 2
                score -= pessimism * math.sqrt(spread / members)
            scores[b, row] = score
            if score > most:
                chosen[b], most = row, score


@compiled(*[types.void(strided(kind, 3), _PLACE, array(_DOUBLE, 1)) for kind in _CHANCES])
def over_members(chances: Chances, row: int, out: Doubles) -> None:
    """Fill (M,) with the mean over members of one list's: (E, L, M)."""
    members = len(chances)
    for slot in range(len(out)):
        total = 0.0
        for e in range(members):
            total += chances[e, row, slot]
        out[slot] = total / members


@compiled(types.void(given(_DOUBLE, 1), _DOUBLE, array(_DOUBLE, 1)))
def round_off(values: Doubles, steps: float, out: Doubles) -> None:
    """Fill (n,) with the values in whole steps of 1 / `steps`, halves to the even one."""
    for i in range(len(values)):
        out[i] = np.rint(values[i] * steps) / steps


_TWO: Any = types.UniTuple(_DOUBLE, 2)  # type: ignore[no-untyped-call]  # numba's, half typed


@compiled(_TWO(strided(_ROW, 1), strided(_ROW, 1), given(_DOUBLE, 1), _PLACE))
def compare_lists(
    served: NDArray[np.int32], start: NDArray[np.int32], p_click: Doubles, size: int
) -> tuple[float, float]:
    """How many of the first `size` slots differ, and the sum of the served list's chances there."""
    changed, clicks = 0.0, 0.0
    for slot in range(size):
        changed += served[slot] != start[slot]
        clicks += p_click[slot]
    return changed, clicks
