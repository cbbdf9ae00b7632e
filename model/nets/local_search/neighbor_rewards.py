"""Rewards of all M N neighbors of a list under the pair evaluator, with few graph nodes.

A list enters the pair evaluator through sums over pairs of slots. An edit therefore changes the
logit of any slot by a known difference, and no neighbor list is materialized. The choice among
neighbors is in `best_neighbor_step.py`. See docs/explanation/method.md#refinement.

Axis letters here: l and j slots, m the slot whose item is moved, a and b two swapped slots, k and N
candidates, h fields of the pair evaluator.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.nets.evaluators.pair_evaluator import PairEvaluator

_MASKING_LOGIT = 1e4  # far above any logit; a logit lowered by it has probability 0


class RewardWeightTensors(NamedTuple):
    """Weights of slots and candidates in the reward of a list, as `objective_weights` gives them.

    slot_weight: (B, M), a_j, 0 in padded slots.
    click_weight: (B, 1), reward of a click.
    conversion_weight: (B, N), reward of a conversion of each candidate.
    """

    slot_weight: Tensor
    click_weight: Tensor
    conversion_weight: Tensor


class NeighborRewards(NamedTuple):
    """Rewards of a list and of its neighbors, means over members.

    current: (B, 1), reward of the list itself.
    after_edit: (B, M, N), reward of neighbor (j, k): candidate k in slot j, swapped with the item
        of slot j if k is in the list already. Undefined for k in its own slot, and for padded
        slots and candidates.
    """

    current: Tensor
    after_edit: Tensor


def one_hot_list(lists: Tensor, slot_valid: Tensor, candidates: int) -> Tensor:
    """One-hot lists (B, M, N): 1 where candidate k is in slot j of lists (B, M), else 0."""
    candidate_index = torch.arange(candidates, device=lists.device, dtype=lists.dtype)
    return ((lists.unsqueeze(-1) == candidate_index) & slot_valid.unsqueeze(-1)).to(torch.float32)


def score_neighborhood(
    net: PairEvaluator, candidate_encodings: Tensor, one_hot: Tensor, weights: RewardWeightTensors
) -> NeighborRewards:
    """Rewards of a list and of all its neighbors.

    Args:
        net: the evaluator.
        candidate_encodings: (E, B, N, Z), its encoding of the candidates.
        one_hot: (B, M, N), the list from `one_hot_list`.
        weights: weights of the objective.
    """
    by_candidate = _click_values(net, candidate_encodings, weights)  # (E, B, j, N)
    by_item = by_candidate @ one_hot.transpose(-1, -2)  # (E, B, j, m): of m's item in slot j
    eye = torch.eye(one_hot.shape[1], device=one_hot.device)
    values = _ClickValues(by_candidate, by_item, (by_item * eye).sum(dim=-1, keepdim=True))
    rewards_of = (
        _rewards_with_interactions if net.item_interactions else _rewards_without_interactions
    )
    current, replaced, swapped = rewards_of(net, candidate_encodings, one_hot, values)
    not_in_list = 1.0 - one_hot.sum(dim=-2, keepdim=True)  # (B, 1, N)
    after_edit = replaced * not_in_list + swapped @ one_hot
    return NeighborRewards(current.sum(dim=-2).mean(dim=0), after_edit.mean(dim=0))


class _ClickValues(NamedTuple):
    """Reward of a click, by slot and item.

    by_candidate: (E, B, j, N), of candidate k in slot j.
    by_item: (E, B, j, m), of slot m's item in slot j.
    current: (E, B, j, 1), of the present item of slot j.
    """

    by_candidate: Tensor
    by_item: Tensor
    current: Tensor


def _click_values(net: PairEvaluator, encodings: Tensor, weights: RewardWeightTensors) -> Tensor:
    """Reward (E, B, M, N) of a click on candidate k in slot j."""
    p = torch.sigmoid(encodings[..., 1].unsqueeze(-2) + net.conversion_bias[:, None, :, None])
    return (
        p * weights.conversion_weight.unsqueeze(-2) + weights.click_weight.unsqueeze(-2)
    ) * weights.slot_weight.unsqueeze(-1)


# Rewards of the list by slot (E, B, j, 1), after replacements (.., j, N), after swaps (.., j, m).
RewardParts = tuple[Tensor, Tensor, Tensor]


def _rewards_without_interactions(
    net: PairEvaluator, encodings: Tensor, one_hot: Tensor, values: _ClickValues
) -> RewardParts:
    """Rewards where items do not affect each other: an edit changes only the moved items."""
    p = (
        torch.sigmoid(encodings[..., 0].unsqueeze(-2))
        * torch.sigmoid(net.examination_logits)[:, None, :, None]
    )
    candidate_reward = values.by_candidate * p  # (E, B, j, N)
    item_reward = values.by_item * (p @ one_hot.transpose(-1, -2))  # (E, B, j, m)
    eye = torch.eye(one_hot.shape[1], device=one_hot.device)
    current = (item_reward * eye).sum(dim=-1, keepdim=True)
    other_slots = current.sum(dim=-2, keepdim=True) - current
    gain = item_reward - current
    replaced = other_slots + candidate_reward
    return current, replaced, other_slots + current + gain + gain.transpose(-1, -2)


def _rewards_with_interactions(
    net: PairEvaluator, encodings: Tensor, one_hot: Tensor, values: _ClickValues
) -> RewardParts:
    """Rewards under effects between items.

    Each slot has two logits, examination and relevance, stacked in one axis of 2 M.
    """
    m = one_hot.shape[1]
    constants = _InteractionConstants.from_evaluator(net)
    shown = one_hot @ encodings  # (E, B, M, Z), zeros in a padded slot
    queries = (shown.unsqueeze(-2) * constants.field_columns + constants.relevance_row).flatten(
        2, 3
    )
    similarity = queries @ encodings.transpose(-1, -2)  # (E, B, M * (h + 1), N)
    item_similarity = similarity @ one_hot.transpose(-1, -2)  # (E, B, M * (h + 1), m)
    per_slot = (m, queries.shape[2] // m)
    # effect on slot l of candidate k in slot j, (E, B, l, 2 j, N)
    candidate_effect = constants.interaction @ similarity.unflatten(2, per_slot)
    by_slot = item_similarity.unflatten(2, per_slot)
    item_effect = constants.interaction @ by_slot  # (E, B, l, 2 j, m): of m's item in slot j
    present_effect = (item_effect * constants.self_mask).sum(dim=-1)  # (E, B, l, 2 j)
    base = (
        present_effect @ constants.sum_matrix
        + shown @ constants.relevance_columns
        + constants.examination_offset
    )
    without_slot, current = base.split((2 * m, 2), dim=-1)  # (E, B, l, ..): logits
    examined, relevant = torch.sigmoid(candidate_effect + without_slot.unsqueeze(-1)).split(
        m, dim=3
    )
    # rewards of the other slots, (E, B, 1, j * N)
    other_slots = values.current.transpose(-1, -2) @ (examined * relevant).flatten(-2)
    own_logit = (
        constants.own_interaction @ similarity + constants.contrast @ shown[..., :1]
    )  # (E, B, j, N): relevance logit of candidate k in slot j
    p_current = torch.sigmoid(current)
    replacement = values.by_candidate * torch.sigmoid(own_logit) * p_current[..., :1]
    # logit of slot b with a's item in it and b's item in slot a, (E, B, a, b)
    swap_effect = ((by_slot @ constants.minus_self) * constants.interaction_transposed).sum(dim=-2)
    own_swapped = one_hot @ own_logit.transpose(-1, -2) + swap_effect
    swapped = _swap_rewards(
        item_effect - present_effect.unsqueeze(-1), current, own_swapped, values
    )
    by_slot_reward = values.current * p_current.prod(dim=-1, keepdim=True)
    return by_slot_reward, other_slots.view(replacement.shape) + replacement, swapped


def _swap_rewards(
    change: Tensor, current: Tensor, own_logit: Tensor, values: _ClickValues
) -> Tensor:
    """Rewards (E, B, a, b) after the items of slots a and b are swapped.

    Args:
        change: (E, B, l, 2 a, b), change of l's logits when b's item replaces that of slot a.
        current: (E, B, l, 2), logits of the list.
        own_logit: (E, B, a, b), relevance logit of slot b with a's item in it.
        values: rewards of clicks.
    """
    m = own_logit.shape[-1]
    eye = torch.eye(m, device=own_logit.device)
    is_other = (1.0 - eye).unsqueeze(-1) * (1.0 - eye).unsqueeze(-2)  # (l, a, b): l is neither
    is_a, is_b = eye.unsqueeze(-1), eye.unsqueeze(-2)
    applies = torch.stack([torch.ones_like(is_other), is_other], dim=1)  # (l, 2, a, b)
    relevance_of_b = torch.stack([torch.zeros_like(is_b), is_b], dim=1)  # (l, 2, 1, b)
    half = change.unflatten(-2, (2, m)) * applies + own_logit[:, :, None, None] * relevance_of_b
    logits = half + half.transpose(-1, -2) + current[..., None, None] * applies
    p = torch.sigmoid(logits).prod(dim=3)  # (E, B, l, a, b)
    value = values.by_item.unsqueeze(2) * is_a
    value = value + value.transpose(-1, -2) + values.current.unsqueeze(-1) * is_other
    return (value * p).sum(dim=2)


class _InteractionConstants(NamedTuple):
    """Weights in the layout of `_rewards_with_interactions`; constants of an exported graph.

    field_columns: (h + 1, Z), 1 for the columns of field h in a candidate's encoding.
    relevance_row: (h + 1, Z), selects a candidate's relevance.
    interaction: (E, 1, l, 2 j, h + 1), effect of slot j on slot l.
    self_mask: (2 j, m), 1 where m is j.
    sum_matrix: (2 j, 2 j + 2), sums effects over all slots but j, and over all slots.
    relevance_columns: (Z, 2 j + 2), adds relevance to the logits that have it.
    examination_offset: (E, 1, l, 2 j + 2), examination logits; masks the case l = j.
    own_interaction: (E, 1, j, M * (h + 1)), effect of all slots on slot j, plus its relevance.
    contrast: (E, 1, j, l), contrast weights.
    minus_self: (a, m, b), subtracts a's similarity to itself from its similarity to b.
    interaction_transposed: (E, 1, a, h + 1, b), effect of slot a on slot b.
    """

    field_columns: Tensor
    relevance_row: Tensor
    interaction: Tensor
    self_mask: Tensor
    sum_matrix: Tensor
    relevance_columns: Tensor
    examination_offset: Tensor
    own_interaction: Tensor
    contrast: Tensor
    minus_self: Tensor
    interaction_transposed: Tensor

    @classmethod
    def from_evaluator(cls, net: PairEvaluator) -> _InteractionConstants:
        """Build from the evaluator's weights; examination comes before relevance in axes of 2 j."""
        e, heads, m, _ = net.similarity_weights.shape
        z, device = net.candidate_width, net.similarity_weights.device
        eye, ones = torch.eye(m, device=device), torch.ones(m, m, device=device)
        width = (z - 2) // heads
        field = torch.eye(heads + 1, device=device)[:, :heads].repeat_interleave(width, dim=1)
        columns = torch.cat([torch.zeros(heads + 1, 2, device=device), field], dim=1)
        relevance = torch.zeros(heads + 1, z, device=device)
        relevance[heads, 0] = 1.0
        similarity = net.similarity_weights * net.off_diagonal
        none = torch.zeros_like(net.similarity_weights)
        contrast = (net.contrast_weights * net.off_diagonal).unsqueeze(1)
        on_relevance = torch.cat([similarity, contrast], dim=1)  # (E, h + 1, l, j)
        attention = (net.examination_weights * net.off_diagonal).unsqueeze(1)
        on_examination = torch.cat([none, attention], dim=1)
        interaction = torch.stack([on_examination, on_relevance], dim=3).flatten(3)
        own_relevance = torch.zeros(e, 1, m, m, device=device)
        own_relevance[..., 0] = 1.0
        own = torch.cat([similarity, own_relevance], dim=1).permute(0, 2, 3, 1).flatten(2)
        all_slots = torch.block_diag(ones[:, :1], ones[:, :1])  # (2 j, 2)
        sums = torch.cat([torch.block_diag(ones - eye, ones - eye), all_slots], dim=1)
        relevance_columns = torch.zeros(z, 2 * m + 2, device=device)
        relevance_columns[0, m : 2 * m] = relevance_columns[0, 2 * m + 1] = 1.0
        examined = net.examination_logits.unsqueeze(-1)  # (E, l, 1)
        mask = (-_MASKING_LOGIT * eye).expand(e, -1, -1)
        offset = [examined.expand(-1, -1, m), mask, examined, torch.zeros_like(examined)]
        return cls(
            field_columns=columns,
            relevance_row=relevance,
            interaction=interaction.permute(0, 2, 3, 1).unsqueeze(1),
            self_mask=torch.cat([eye, eye]),
            sum_matrix=sums,
            relevance_columns=relevance_columns,
            examination_offset=torch.cat(offset, dim=-1).unsqueeze(1),
            own_interaction=own.unsqueeze(1),
            contrast=contrast,
            minus_self=eye - eye.unsqueeze(-1),
            interaction_transposed=on_relevance.permute(0, 3, 1, 2).unsqueeze(1),
        )
