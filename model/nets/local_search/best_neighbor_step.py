"""One step to the best neighbor: what refines the list that was chosen (METHOD section 6).

The exported graph runs one step, so as many are taken as there is time for.
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

# Of what counts most (`contract/refine.worth`); less is rounding: neither a gain nor what makes one
# neighbor better than another.
MIN_GAIN = 1e-5


class HillClimbState(NamedTuple):
    """Where a step begins, and what it may change.

    lists: (B, M) int64, places in the candidates, no item twice.
    slot_valid: (B, M) bool, slots that are there.
    editable: (B, M) bool, those that may change.
    movable: (B, N) bool, candidates that may change places: there, and not pinned.
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
    """(B, M) int64: the best neighbor that obeys, or the list itself where none gains.

    Ties go to the lower slot, then to the lower candidate.

    Args:
        net, known: the evaluator, and its encoding (E, B, N, Z) of the candidates.
        at: the lists.
        worth: what counts.
        rules: counts that no step may break; the lists obey them.
    """
    here = one_hot_list(state.lists, state.slot_valid, state.swappable.shape[1])
    around = score_neighborhood(net, candidate_encodings, here, weights)
    allowed = (state.editable & state.slot_valid).unsqueeze(-1) & state.swappable.unsqueeze(-2)
    score = torch.where(allowed, around.after_edit, -FORBIDDEN_PENALTY) - here * FORBIDDEN_PENALTY
    if rules is not None:
        score = score - rule_violations(rules, here) * FORBIDDEN_PENALTY
    top = score.amax(dim=(1, 2))
    best = (score >= (top - MIN_GAIN)[:, None, None]).to(score.dtype)  # and what rounding may hide
    slot = best.amax(dim=-1).argmax(dim=-1, keepdim=True)  # (B, 1)
    item = best.argmax(dim=-1).gather(1, slot)
    stands = (state.lists == item) & state.slot_valid
    moved = torch.where(stands, state.lists.gather(1, slot), state.lists).scatter(1, slot, item)
    return torch.where(top.unsqueeze(-1) > around.current + MIN_GAIN, moved, state.lists)


def rule_violations(rules: RuleTensors, one_hot: Tensor) -> Tensor:
    """(B, M, N): 0 where all counts stay in their bounds, by neighbor (METHOD section 3, Rules).

    Args:
        rules: of the batch.
        here: (B, M, N), what stands where.
    """
    member, slots = rules.member.to(one_hot.dtype), rules.slots.to(one_hot.dtype)
    old = member @ one_hot.transpose(-1, -2)  # (B, R, M): member_ro of what stands in slot j
    came_from = slots @ one_hot  # (B, R, N): slots_rl, 0 if k stands nowhere
    count = (old * slots).sum(dim=-1)[..., None, None]
    change = slots.unsqueeze(-1) - came_from.unsqueeze(-2)  # (B, R, M, N)
    after = count + change * (member.unsqueeze(-2) - old.unsqueeze(-1))
    low, high = rules.minimum[..., None, None], rules.maximum[..., None, None]
    return torch.relu(torch.maximum(low - after, after - high).amax(dim=1))
