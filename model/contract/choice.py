"""What a list is worth and which list is served: one function for training, report, check, service.

Conventions: evaluator outputs are (E, B, L, M); the last of the L lists is the input list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from operator import sub
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Weights of the reward: expected clicks, conversions, and value (e.g. revenue).

    discount: slot j counts 1 / log2(j + 2)^discount. 0 where the evaluator knows from its log how
    much lower slots are looked at; 1, the discount of DCG, where labels do not depend on the slot.
    """

    click: float = 1.0
    conversion: float = 0.0
    value: float = 0.0
    discount: float = 0.0

    @classmethod
    def of(cls, given: object) -> Self:
        """The weights of whatever names them: a configuration, a manifest's entry."""
        return cls(**{field.name: getattr(given, field.name) for field in fields(cls)})


@lru_cache(maxsize=64)
def slot_weights(slots: int, discount: float) -> NDArray[np.float32]:
    """(M,) what each slot counts; see `Objective`. Shared, so it may not be written to."""
    weights = (1.0 / np.log2(np.arange(slots) + 2.0) ** discount).astype(np.float32)
    weights.flags.writeable = False
    return weights


def reward(
    p_click: Floats,
    p_conversion: Floats | None,
    values: Floats | None,
    slot_valid: NDArray[np.bool_] | None,
    objective: Objective,
) -> Floats:
    """Reward of lists (DESIGN 5): sum over slots of p_click (w_c + w_v p_conv + w_r p_conv value).

    With a discount each slot counts less than the one above (`slot_weights`).

    Args:
        p_click: (E, B, L, M) probability of a click in the slot.
        p_conversion: same shape, P(conversion | click); None when the evaluator has none.
        values: (B, L, M) value of the slot's item; None and NaN (a gap) count as 0.
        slot_valid: (B, M) bool; None when every slot counts.
        objective: the weights.

    Returns:
        (E, B, L) rewards.
    """
    worth: Floats | float = objective.click
    if p_conversion is not None and (objective.conversion or objective.value):
        gained: Floats | float = objective.conversion
        if values is not None and objective.value:
            gained = gained + objective.value * np.where(np.isnan(values), 0.0, values)
        worth = worth + p_conversion * gained
    gains = p_click * worth
    if objective.discount:
        gains = gains * slot_weights(p_click.shape[-1], objective.discount)
    if slot_valid is not None:
        gains = np.where(slot_valid[:, None, :], gains, 0.0)
    # reductions as ufuncs here and below: the methods' checks cost more than sums this small
    return np.add.reduce(gains, axis=-1)


def score_lists(rewards: Floats, pessimism: float) -> NDArray[np.float64]:
    """Pessimistic score of each proposed list: mean over members of its gain, minus lambda std.

    Args:
        rewards: (E, B, L) with the input list last.
        pessimism: lambda >= 0.

    Returns:
        (B, L - 1); each member's gain is against its own reward of the input list.
    """
    rewards = rewards.astype(np.float64)
    gain = rewards[..., :-1] - rewards[..., -1:]
    members = len(gain)
    score: NDArray[np.float64] = np.add.reduce(gain, axis=0) / members
    if pessimism:
        gain -= score
        score -= pessimism * np.sqrt(np.add.reduce(gain * gain, axis=0) / members)
    return score


def choose(rewards: Floats, pessimism: float) -> NDArray[np.int64]:
    """Which list is served: (B,) places among the L lists of rewards (E, B, L).

    L - 1 is the input list. Ties go to the lower list; the input list wins when no score is above
    0 (NaN never is).
    """
    last = rewards.shape[-1] - 1
    if last == 0:
        return np.zeros(rewards.shape[1], dtype=np.int64)
    sure = np.fmax(score_lists(rewards, pessimism), -np.inf)  # NaN is no score
    chosen = np.where(np.maximum.reduce(sure, axis=-1) > 0, sure.argmax(axis=-1), last)
    return chosen.astype(np.int64, copy=False)


def decide(rewards: list[list[float]], pessimism: float) -> tuple[int, list[float]]:
    """`choose` and `score_lists` of one request, to the last bit: its place, and L - 1 scores.

    Over so few numbers Python's loop takes half of what numpy's calls do. Sums are written out:
    `sum` adds floats in another way since Python 3.12.

    Args:
        rewards: E lists of L, the input list last.
        pessimism: lambda >= 0.
    """
    members, inputs = len(rewards), [own[-1] for own in rewards]
    scores, chosen, most = [], len(rewards[0]) - 1, 0.0
    for place, worth in enumerate(zip(*(own[:-1] for own in rewards), strict=True)):
        total = 0.0
        for gain in (gains := [*map(sub, worth, inputs)]):
            total += gain
        score = total / members
        if pessimism:
            spread = 0.0
            for gain in gains:
                away = gain - score
                spread += away * away
            score -= pessimism * math.sqrt(spread / members)
        scores.append(score)
        if score > most:
            chosen, most = place, score
    return chosen, scores
