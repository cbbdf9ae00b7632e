"""Reward of lists and selection of the served list, shared by training, report, check and service.

Conventions: evaluator outputs are (E, B, L, M); the last of the L lists is the input list.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model.contract.kernels.list_scoring import list_rewards, score_and_select_list

FloatArray = NDArray[np.floating[Any]]
_NO_VALUES, _NO_SLOTS = np.empty((0, 0, 0)), np.empty((0, 0), dtype=bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardWeights:
    """Weights of the reward: expected clicks, conversions, and value (e.g. revenue).

    discount: slot j counts 1 / log2(j + 2)^discount. 0 where the evaluator learned examination by
    slot from its log; 1, the discount of DCG, where labels do not depend on the slot.
    """

    click: float = 1.0
    conversion: float = 0.0
    value: float = 0.0
    discount: float = 0.0

    @classmethod
    def from_attributes(cls, source: object) -> Self:
        """The weights of an object with these attributes: a configuration or a manifest's entry."""
        return cls(**{field.name: getattr(source, field.name) for field in fields(cls)})


@lru_cache(maxsize=64)
def slot_weights(slots: int, discount: float) -> NDArray[np.float32]:
    """(M,) weight of each slot, see `RewardWeights.discount`; cached and read-only."""
    weights = (1.0 / np.log2(np.arange(slots) + 2.0) ** discount).astype(np.float32)
    weights.flags.writeable = False
    return weights


def compute_rewards(
    p_click: FloatArray,
    p_conversion: FloatArray | None,
    values: FloatArray | None,
    slot_valid: NDArray[np.bool_] | None,
    objective: RewardWeights,
) -> NDArray[np.float64]:
    """Reward of lists: sum over slots of p_click (w_c + w_v p_conv + w_r p_conv value).

    Source: docs/explanation/method.md#generator-training. With a discount each slot counts less
    than the one above (`slot_weights`).

    Args:
        p_click: (E, B, L, M) probability of a click in the slot.
        p_conversion: same shape, P(conversion | click); None when the evaluator has none.
        values: (B, L, M) value of the slot's item; None and NaN (a gap) count as 0.
        slot_valid: (B, M) bool; None when every slot counts.
        objective: the weights.

    Returns:
        (E, B, L) rewards.
    """
    rewards = np.empty(p_click.shape[:-1])
    list_rewards(
        p_click,
        p_click if p_conversion is None else p_conversion,
        _NO_VALUES if values is None else values.astype(np.float64),
        _NO_SLOTS if slot_valid is None else slot_valid,
        _exact_weights(p_click.shape[-1], objective.discount),
        objective.click,
        0.0 if p_conversion is None else objective.conversion,
        0.0 if p_conversion is None else objective.value,
        rewards,
    )
    return rewards


def select_with_scores(
    rewards: FloatArray, risk_aversion: float, min_relative_gain: float = 0.0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Index of the served list and the scores: each list's mean gain minus lambda times its std.

    Ties go to the lower index; the input list wins when no score is above 0 (NaN never is), or
    none reaches the least gain.

    Args:
        rewards: (E, B, L) with the input list last; each member's gain is over its own reward of
            the input list.
        risk_aversion: lambda >= 0; the standard deviation is over members.
        min_relative_gain: least score of a served list, relative to the input list's mean reward.

    Returns:
        (B,) indices among the L lists, and (B, L - 1) scores.
    """
    exact: NDArray[np.float64] = np.ascontiguousarray(rewards, dtype=np.float64)
    scores = np.empty((rewards.shape[1], rewards.shape[2] - 1))
    chosen = np.empty(rewards.shape[1], dtype=np.int64)
    score_and_select_list(exact, risk_aversion, scores, chosen)
    if min_relative_gain and scores.shape[1]:
        required = min_relative_gain * exact[:, :, -1].mean(axis=0)
        chosen[scores.max(axis=1) < required] = scores.shape[1]
    return chosen, scores


def select_lists(
    rewards: FloatArray, risk_aversion: float, min_relative_gain: float = 0.0
) -> NDArray[np.int64]:
    """Index of the served list; see `select_with_scores`."""
    return select_with_scores(rewards, risk_aversion, min_relative_gain)[0]


@lru_cache(maxsize=64)
def _exact_weights(slots: int, discount: float) -> NDArray[np.float64]:
    return slot_weights(slots, discount).astype(np.float64)
