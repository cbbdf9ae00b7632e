"""Kernels over lists: rewards, selection, and list statistics of responses and metrics.

Sums are taken in one order in both implementations, so that results are equal to the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.kernels.dispatch import any_layout, kernel, readonly, signature, writable

_PROBABILITY_TYPES = ("float32", "float64")
_without_warnings = np.errstate(all="ignore")  # the loops raise none; the caller checks the results

Probabilities = NDArray[np.floating[Any]]
Float64Array = NDArray[np.float64]


@_without_warnings
def _list_rewards_numpy(  # noqa: PLR0913 one number or array each
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
    worth: float | Float64Array = click
    if conversion != 0.0 or value != 0.0:
        gained: float | Float64Array = conversion
        if len(values) > 0:
            gained = conversion + np.where(np.isnan(values), 0.0, value * values)
        worth = click + p_conversion.astype(np.float64) * gained
    slot_rewards = p_click.astype(np.float64) * worth * slot_weight
    if len(slot_valid) > 0:
        slot_rewards = np.where(slot_valid[:, None], slot_rewards, 0.0)
    out[...] = 0.0
    for slot in range(slot_rewards.shape[-1]):
        out += slot_rewards[..., slot]


@kernel(
    _list_rewards_numpy,
    *[
        signature(
            any_layout(scalar, 4), any_layout(scalar, 4), any_layout("float64", 3),
            any_layout("boolean", 2), readonly("float64", 1), "float64", "float64", "float64",
            writable("float64", 3),
        )
        for scalar in _PROBABILITY_TYPES
    ],
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

    p_click, p_conversion: (E, B, L, M).  values: (B, L, M), NaN is 0; without rows all are 0.
    slot_valid: (B, M); without rows all are valid.  slot_weight: (M,).
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
                        worth += float(p_conversion[e, b, row, slot]) * gained
                    total += float(p_click[e, b, row, slot]) * worth * slot_weight[slot]
                out[e, b, row] = total


@_without_warnings
def _score_and_select_list_numpy(
    rewards: Float64Array, risk_aversion: float, scores: Float64Array, chosen: NDArray[np.int64]
) -> None:
    gains = rewards[:, :, :-1] - rewards[:, :, -1:]
    scores[...] = 0.0
    for gain in gains:
        scores += gain
    scores /= len(gains)
    if risk_aversion != 0.0:
        spread = np.zeros_like(scores)
        for gain in gains:
            deviation = gain - scores
            spread += deviation * deviation
        scores -= risk_aversion * np.sqrt(spread / len(gains))
    chosen[...] = rewards.shape[2] - 1
    if scores.shape[1] > 0:
        positive = np.where(scores > 0.0, scores, 0.0)
        best = positive.argmax(axis=1)
        served = positive.max(axis=1) > 0.0
        chosen[served] = best[served]


@kernel(
    _score_and_select_list_numpy,
    signature(readonly("float64", 3), "float64", writable("float64", 2), writable("int64", 1)),
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
                    deviation = rewards[e, b, row] - rewards[e, b, lists - 1] - score
                    spread += deviation * deviation
                score -= risk_aversion * math.sqrt(spread / members)
            scores[b, row] = score
            if score > most:
                chosen[b], most = row, score


@_without_warnings
def _ensemble_mean_numpy(probabilities: Probabilities, list_index: int, out: Float64Array) -> None:
    out[...] = 0.0
    for member in probabilities:
        out += member[list_index]
    out /= len(probabilities)


@kernel(
    _ensemble_mean_numpy,
    *[
        signature(any_layout(scalar, 3), "int64", writable("float64", 1))
        for scalar in _PROBABILITY_TYPES
    ],
)
def ensemble_mean(probabilities: Probabilities, list_index: int, out: Float64Array) -> None:
    """Fill (M,) with the mean over members of one list's probabilities, from (E, L, M)."""
    members = len(probabilities)
    for slot in range(len(out)):
        total = 0.0
        for e in range(members):
            total += float(probabilities[e, list_index, slot])
        out[slot] = total / members


@_without_warnings
def _round_to_numpy(values: Float64Array, steps_per_unit: float, out: Float64Array) -> None:
    np.rint(values * steps_per_unit, out=out)
    out /= steps_per_unit


@kernel(_round_to_numpy, signature(readonly("float64", 1), "float64", writable("float64", 1)))
def round_to(values: Float64Array, steps_per_unit: float, out: Float64Array) -> None:
    """Fill (n,) with the values in whole steps of 1 / `steps_per_unit`, halves to the even one."""
    for i in range(len(values)):
        out[i] = np.rint(values[i] * steps_per_unit) / steps_per_unit


def _count_changes_and_clicks_numpy(
    served: NDArray[np.int32], start: NDArray[np.int32], p_click: Float64Array, size: int
) -> tuple[float, float]:
    clicks = 0.0
    for chance in p_click[:size].tolist():
        clicks += chance
    return float(np.count_nonzero(served[:size] != start[:size])), clicks


@kernel(
    _count_changes_and_clicks_numpy,
    signature(
        any_layout("int32", 1), any_layout("int32", 1), readonly("float64", 1), "int64",
        result=("float64", "float64"),
    ),
)  # fmt: skip
def count_changes_and_clicks(
    served: NDArray[np.int32], start: NDArray[np.int32], p_click: Float64Array, size: int
) -> tuple[float, float]:
    """Number of changed slots among the first `size`, and the sum of p_click of these slots."""
    changed, clicks = 0.0, 0.0
    for slot in range(size):
        changed += served[slot] != start[slot]
        clicks += p_click[slot]
    return changed, clicks
