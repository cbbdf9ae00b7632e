"""Rewards of all M N neighbors of a list at once, from the pair evaluator's sums.

A list enters that net through sums over pairs of slots (docs/explanation/method.md#pair-evaluator),
so an edit changes the logits of each slot by a difference that is known for every candidate.
Written for few graph nodes. `best_neighbor_step.py` selects among the neighbors.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.evaluators.slot_interactions import FIRST_MESSAGE, SlotInteractions


class RewardWeightTensors(NamedTuple):
    """Weights of slots and candidates in the reward of a list.

    slot_weight: (B, M), 0 in padded slots.
    click_weight: (B, 1), reward of a click.
    conversion_weight: (B, N), reward of a conversion of each candidate.
    """

    slot_weight: Tensor
    click_weight: Tensor
    conversion_weight: Tensor


class NeighborRewards(NamedTuple):
    """Rewards, means over members, of a list and of its neighbors.

    current: (B, 1), of the list itself.
    after_edit: (B, M, N), of neighbor (j, k): candidate k in slot j; where k is in the list
        already, both slots are swapped (`neighbors.all_neighbors`). Undefined for k in its own slot
        and for padded slots and candidates.
    """

    current: Tensor
    after_edit: Tensor


class _Logits(NamedTuple):
    """Logits of slot l in R lists, (E, B, l, R) each; examination may broadcast."""

    appeal: Tensor
    examination: Tensor


def one_hot_list(lists: Tensor, slot_valid: Tensor, candidates: int) -> Tensor:
    """(B, M, N): 1 where candidate k is in slot j of lists (B, M), else 0."""
    every = torch.arange(candidates, device=lists.device, dtype=lists.dtype)
    return ((lists.unsqueeze(-1) == every) & slot_valid.unsqueeze(-1)).to(torch.float32)


def score_neighborhood(
    net: PairEvaluator, candidate_encodings: Tensor, one_hot: Tensor, weights: RewardWeightTensors
) -> NeighborRewards:
    """Rewards of a list and of all its neighbors.

    Args:
        net: the evaluator.
        candidate_encodings: (E, B, N, Z), its encoding of the candidates.
        one_hot: (B, M, N), the list as `one_hot_list` gives it.
        weights: of slots, clicks and conversions.
    """
    values = _click_values(net, candidate_encodings, weights)  # (E, B, j, N)
    in_list = values @ one_hot.transpose(-1, -2)  # (E, B, j, m): of the item of m in slot j
    eye = torch.eye(one_hot.shape[1], device=one_hot.device)
    present = (in_list * eye).sum(dim=-1, keepdim=True)  # (E, B, j, 1)
    edits = _edit_logits(net, candidate_encodings, one_hot)
    slot_weight = one_hot.sum(dim=-1, keepdim=True)  # (B, M, 1)
    click = net.click_heads
    p_now = click(*edits.now, slot_weight)  # (E, B, l, 1)
    p_replaced = click(*edits.replaced, slot_weight)  # (E, B, l, j * N)
    p_swapped = click(*edits.swapped, slot_weight).unflatten(-1, (len(eye), -1))  # (.., l, a, b)
    own = (p_replaced.unflatten(-1, values.shape[-2:]) * eye.unsqueeze(-1)).sum(dim=2)
    rest = (present.transpose(-1, -2) @ p_replaced).view(values.shape)
    replaced = rest + own * (values - present)  # (E, B, j, N)
    swapped = _swap_rewards(p_swapped, in_list, present)
    free = 1.0 - one_hot.sum(dim=-2, keepdim=True)  # (B, 1, N): 1 where k is not in the list
    current = (present * p_now).sum(dim=-2).mean(dim=0)
    return NeighborRewards(current, (replaced * free + swapped @ one_hot).mean(dim=0))


def _click_values(net: PairEvaluator, encodings: Tensor, weights: RewardWeightTensors) -> Tensor:
    """(E, B, M, N): reward of a click on candidate k in slot j."""
    p = torch.sigmoid(encodings[..., 1].unsqueeze(-2) + net.conversion_bias[:, None, :, None])
    return (
        p * weights.conversion_weight.unsqueeze(-2) + weights.click_weight.unsqueeze(-2)
    ) * weights.slot_weight.unsqueeze(-1)


def _swap_rewards(p_click: Tensor, in_list: Tensor, present: Tensor) -> Tensor:
    """(E, B, a, b), rewards when the items of slots a and b are swapped.

    Args:
        p_click: (E, B, l, a, b), of slot l.
        in_list: (E, B, j, m), value of a click on the item of m in slot j.
        present: (E, B, j, 1), value of a click on the item of slot j.
    """
    m = p_click.shape[-1]
    rest = (present.transpose(-1, -2) @ p_click.flatten(-2)).view(in_list.shape)
    eye = torch.eye(m, device=p_click.device)
    at_a = (p_click * eye.unsqueeze(-1)).sum(dim=2)  # (E, B, a, b): of slot a, with b's item
    change = at_a * (in_list - present)
    return rest + change + change.transpose(-1, -2)


class _EditLogits(NamedTuple):
    """Logits of the list, of each replacement and of each swap: R is 1, M N or M M."""

    now: _Logits
    replaced: _Logits
    swapped: _Logits


def _edit_logits(net: PairEvaluator, encodings: Tensor, one_hot: Tensor) -> _EditLogits:
    if net.interactions is not None:
        return _logits_with_interactions(net, net.interactions, encodings, one_hot)
    relevance = encodings[..., 0].unsqueeze(-2)  # (E, B, 1, N)
    m = one_hot.shape[1]
    in_list = (relevance @ one_hot.transpose(-1, -2)).transpose(-1, -2)  # (E, B, l, 1)
    now = _Logits(in_list, net.examination_logits[:, None, :, None])
    return _EditLogits(
        now,
        _Logits(
            _with_own_slot(in_list.unsqueeze(-1), relevance.expand(-1, -1, m, -1)), now.examination
        ),
        _Logits(
            _swapped_appeal(in_list.unsqueeze(-1), in_list.expand(-1, -1, -1, m)), now.examination
        ),
    )


def _with_own_slot(others: Tensor, own: Tensor) -> Tensor:
    """(E, B, l, j * N): logits (.., l, j, N) of the other slots l, and own (.., j, N) at l = j."""
    eye = torch.eye(own.shape[2], device=own.device).unsqueeze(-1)  # (l, j, 1)
    return (others * (1.0 - eye) + own.unsqueeze(2) * eye).flatten(-2)


def _swapped_appeal(others: Tensor, own: Tensor) -> Tensor:
    """(E, B, l, a * b): logits of slots that are neither a nor b, and those of a and b.

    Args:
        others: (E, B, l, a, b) or broadcastable, of slot l after the swap.
        own: (E, B, a, b), of slot b with the item of a in it, after the swap.
    """
    eye = torch.eye(own.shape[-1], device=own.device)
    neither = (1.0 - eye).unsqueeze(-1) * (1.0 - eye).unsqueeze(-2)  # (l, a, b)
    at_b = own.unsqueeze(2) * eye.unsqueeze(-2)
    return (others * neither + at_b + at_b.transpose(-1, -2)).flatten(-2)


def _logits_with_interactions(
    net: PairEvaluator, interactions: SlotInteractions, encodings: Tensor, one_hot: Tensor
) -> _EditLogits:
    m = one_hot.shape[1]
    fixed = _InteractionConstants.from_evaluator(net, interactions)
    shown = one_hot @ encodings  # (E, B, M, Z), zeros in a padded slot
    rows = (shown.unsqueeze(-2) * fixed.similarity_columns + fixed.message_columns).flatten(2, 3)
    signals = rows @ encodings.transpose(-1, -2)  # (E, B, l * F, N)
    by_slot = (signals @ one_hot.transpose(-1, -2)).unflatten(2, (m, -1))  # (E, B, l, F, m)
    received = fixed.interaction @ by_slot  # (E, B, l, 2 j, m): from the item of m in slot j
    present = (received * fixed.own_item).sum(dim=-1)  # (E, B, l, 2 j): from the item of j
    total = present @ fixed.slot_sums + shown @ fixed.relevance_column + fixed.examination
    now = _Logits(total[..., 1:], total[..., :1])
    # replacement: what slot l receives from k in slot j instead of the item of j
    offered = fixed.interaction @ signals.unflatten(2, (m, -1))  # (E, B, l, 2 j, N)
    kept = total.repeat_interleave(m, dim=-1) - present  # (E, B, l, 2 j)
    examination, appeal = (offered + kept.unsqueeze(-1)).split(m, dim=3)
    messages = (
        shown[..., FIRST_MESSAGE : FIRST_MESSAGE + interactions.messages].flatten(-2).unsqueeze(-1)
    )
    own = fixed.own_similarity @ signals + fixed.contrast @ messages
    own = own + encodings[..., 0].unsqueeze(-2)  # (E, B, j, N)
    replaced = _Logits(_with_own_slot(appeal, own), examination.flatten(-2))
    # swap: both replacements at once, and a and b receive from the other's place
    change = (received - present.unsqueeze(-1)).unflatten(3, (2, m))  # (E, B, l, 2, a, b)
    both = change + change.transpose(-1, -2) + total[..., None, None]
    own_swapped = one_hot @ own.transpose(-1, -2) + (
        (by_slot @ fixed.minus_self) * fixed.appeal_transposed
    ).sum(dim=-2)
    swapped = _Logits(_swapped_appeal(both[:, :, :, 1], own_swapped), both[:, :, :, 0].flatten(-2))
    return _EditLogits(now, replaced, swapped)


class _InteractionConstants(NamedTuple):
    """Weights in the forms that `_logits_with_interactions` multiplies; constants of a graph.

    F = h + W signals: a similarity in each of h fields, and W messages. The two logits, examination
    first, share an axis of 2 j.

    similarity_columns: (F, Z), the columns of field f.
    message_columns: (F, Z), 1 in the column of message w.
    interaction: (E, 1, l, 2 j, F), weight at slot l of signal f from slot j.
    own_item: (2 j, m), 1 where m is j.
    slot_sums: (2 j, 2), sums over j.
    relevance_column: (Z, 2), relevance, for the appeal logit.
    examination: (E, 1, l, 2), for the examination logit.
    own_similarity: (E, 1, j, M * F), weight at slot j of the similarity to the item of each slot.
    contrast: (E, 1, j, M * W), weight at slot j of the messages of each slot.
    minus_self: (a, m, b), takes the signal of a's item to itself from that of b's item.
    appeal_transposed: (E, 1, a, F, b), weight at slot b of signal f from slot a.
    """

    similarity_columns: Tensor
    message_columns: Tensor
    interaction: Tensor
    own_item: Tensor
    slot_sums: Tensor
    relevance_column: Tensor
    examination: Tensor
    own_similarity: Tensor
    contrast: Tensor
    minus_self: Tensor
    appeal_transposed: Tensor

    @classmethod
    def from_evaluator(
        cls, net: PairEvaluator, interactions: SlotInteractions
    ) -> _InteractionConstants:
        near, contrast, looked = (
            interactions.similarity_weights,
            interactions.contrast_weights,
            interactions.examination_weights,
        )  # (E, h | W, l, j)
        heads, w, m, z = near.shape[1], interactions.messages, net.slots, net.candidate_width
        device = near.device
        eye = torch.eye(m, device=device)
        first = FIRST_MESSAGE + w
        columns, messages = torch.zeros(heads + w, z), torch.zeros(heads + w, z)
        columns[:heads, first:] = torch.eye(heads).repeat_interleave((z - first) // heads, dim=1)
        messages[heads:, FIRST_MESSAGE:first] = torch.eye(w)
        relevance, sums = torch.zeros(z, 2), torch.zeros(2 * m, 2)
        relevance[0, 1] = sums[:m, 0] = sums[m:, 1] = 1.0
        appeal = torch.cat([near, contrast], dim=1)  # (E, F, l, j)
        examined = torch.cat([torch.zeros_like(near), looked], dim=1)
        logit = net.examination_logits.unsqueeze(-1)  # (E, l, 1)
        own = torch.cat([near, torch.zeros_like(contrast)], dim=1)
        return cls(
            similarity_columns=columns.to(device),
            message_columns=messages.to(device),
            interaction=torch.cat([examined, appeal], dim=3).permute(0, 2, 3, 1).unsqueeze(1),
            own_item=torch.cat([eye, eye]),
            slot_sums=sums.to(device),
            relevance_column=relevance.to(device),
            examination=torch.cat([logit, torch.zeros_like(logit)], dim=-1).unsqueeze(1),
            own_similarity=own.permute(0, 2, 3, 1).flatten(2).unsqueeze(1),
            contrast=contrast.permute(0, 2, 3, 1).flatten(2).unsqueeze(1),
            minus_self=eye - eye.unsqueeze(-1),
            appeal_transposed=appeal.permute(0, 3, 1, 2).unsqueeze(1),
        )
