"""One hill-climbing step from the selected list to its best neighbor.

The exported graph runs one step, so the caller decides how many fit its deadline. See
docs/explanation/method.md#refinement.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.generators.edit_inputs import FORBIDDEN_PENALTY
from model.nets.local_search.neighbor_rewards import (
    RewardWeightTensors,
    one_hot_list,
    score_neighborhood,
)
from model.nets.rule_counts import RuleTensors

# Relative to the largest weight of the objective (`objective_weights`). A smaller difference of
# rewards is rounding: it is no gain, and it does not rank neighbors.
MIN_GAIN = 1e-5


class HillClimbState(NamedTuple):
    """Lists before a step, and the changes that it may make.

    lists: (B, M) int64, candidate indices without repetition.
    slot_valid: (B, M) bool, slots that the list has.
    editable: (B, M) bool, slots that may change.
    swappable: (B, N) bool, candidates that may enter or change slots: real and not pinned.
    """

    lists: Tensor
    slot_valid: Tensor
    editable: Tensor
    swappable: Tensor


def hill_climb_step(
    net: PairEvaluator,
    candidate_encodings: Tensor,
    state: HillClimbState,
    weights: RewardWeightTensors,
    rules: RuleTensors | None = None,
) -> Tensor:
    """Best feasible neighbor (B, M) int64, or the list itself where none has a gain.

    Ties go to the lower slot, then to the lower candidate.

    Args:
        net: the evaluator.
        candidate_encodings: (E, B, N, Z), its encoding of the candidates.
        state: lists and allowed changes.
        weights: weights of the objective.
        rules: counts that no step may break; the lists satisfy them.
    """
    one_hot = one_hot_list(state.lists, state.slot_valid, state.swappable.shape[1])
    rewards = score_neighborhood(net, candidate_encodings, one_hot, weights)
    allowed = (state.editable & state.slot_valid).unsqueeze(-1) & state.swappable.unsqueeze(-2)
    penalized = torch.where(allowed, rewards.after_edit, -FORBIDDEN_PENALTY)
    score = penalized - one_hot * FORBIDDEN_PENALTY
    if rules is not None:
        score = score - rule_violations(rules, one_hot) * FORBIDDEN_PENALTY
    top = score.amax(dim=(1, 2))
    best = (score >= (top - MIN_GAIN)[:, None, None]).to(score.dtype)  # ties within rounding
    slot = best.amax(dim=-1).argmax(dim=-1, keepdim=True)  # (B, 1)
    item = best.argmax(dim=-1).gather(1, slot)
    in_slot = (state.lists == item) & state.slot_valid
    moved = torch.where(in_slot, state.lists.gather(1, slot), state.lists).scatter(1, slot, item)
    return torch.where(top.unsqueeze(-1) > rewards.current + MIN_GAIN, moved, state.lists)


def rule_violations(rules: RuleTensors, one_hot: Tensor) -> Tensor:
    """Violation (B, M, N) of each neighbor: 0 where all counts stay in their bounds.

    Source: docs/explanation/method.md#rules.

    Args:
        rules: rules of the batch.
        one_hot: (B, M, N), the list from `one_hot_list`.
    """
    member, slots = rules.member.to(one_hot.dtype), rules.slots.to(one_hot.dtype)
    old = member @ one_hot.transpose(-1, -2)  # (B, R, M): member_ro of the item in slot j
    came_from = slots @ one_hot  # (B, R, N): slots_rl, 0 if k is in no slot
    count = (old * slots).sum(dim=-1)[..., None, None]
    change = slots.unsqueeze(-1) - came_from.unsqueeze(-2)  # (B, R, M, N)
    after = count + change * (member.unsqueeze(-2) - old.unsqueeze(-1))
    low, high = rules.minimum[..., None, None], rules.maximum[..., None, None]
    return torch.relu(torch.maximum(low - after, after - high).amax(dim=1))
