"""Predicted reward of lists in training, and its shaped form.

Serving computes the same reward with numpy: `compute_rewards` of
model/contract/scoring/objective.py; a test compares both. Source:
docs/explanation/method.md#generator-training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.contract.scoring.objective import RewardWeights, slot_weights

MAX_REWARD_RATIO = 3.0  # of w, so that a shaped reward stays below e^2


def list_reward(
    p_click: Tensor, p_conversion: Tensor, values: Tensor | None, objective: RewardWeights
) -> Tensor:
    """value(L) = sum_j a_j p_click_j (w_click + p_conversion_j (w_conversion + w_value value_j)).

    a_j is 1, or the slot weight where the objective has a discount.

    Args:
        p_click, p_conversion: (..., M), 0 in slots that do not exist.
        values: broadcastable to (..., M), value of the slot's item; None counts as 0.
        objective: the weights.

    Returns:
        (...,) rewards.
    """
    worth = torch.full_like(p_click, objective.click)
    if objective.conversion:
        worth = worth + objective.conversion * p_conversion
    if objective.value and values is not None:
        worth = worth + objective.value * p_conversion * values
    gains = p_click * worth
    if objective.discount:
        counts = slot_weights(gains.shape[-1], objective.discount)
        gains = gains * torch.tensor(counts, device=gains.device)
    return gains.sum(dim=-1)


def shape_reward(
    reward: Tensor, mean_reward: float, *, above: float = 1.0, below: float = 1.0
) -> Tensor:
    """Shaped reward r of w = reward / mean, clamped to [0, 3].

    e^(k1 (w-1)) - 1 above w = 1 and 1 - e^(k2 (1-w)) below, with k1 = `above` and k2 = `below`.
    With both 1 it is continuous with slope 1 at the mean and grows faster away from it.
    """
    w = (reward / mean_reward).clamp(0.0, MAX_REWARD_RATIO)
    better = torch.exp(above * (w - 1.0).clamp(min=0.0)) - 1.0
    worse = 1.0 - torch.exp(below * (1.0 - w).clamp(min=0.0))
    return torch.where(w > 1.0, better, worse)
