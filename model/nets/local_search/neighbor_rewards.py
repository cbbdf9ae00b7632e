"""What the pair evaluator says of all M N neighbors of a list at once (METHOD section 8).

A list enters that net through sums over pairs of slots, so an edit changes the logit of any slot
by a difference that is known for every candidate, and no neighbor has to be written down. Made to
be few nodes of a graph. Which neighbor is taken is the business of `ascent.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.nets.evaluators.pair_evaluator import PairEvaluator

_MASKING_LOGIT = 1e4  # far above any logit: what is this much lower has probability 0


class RewardWeightTensors(NamedTuple):
    """What slots and candidates count in the reward of a list (`contract/choice.reward`).

    slot: (B, M), a_j: 0 in slots that are not there.
    click: (B, 1), what a click counts.
    conversion: (B, N), what a conversion of each candidate counts.
    """

    slot_weight: Tensor
    click_weight: Tensor
    conversion_weight: Tensor


class NeighborRewards(NamedTuple):
    """Rewards, means over members, of a list and of what lies one edit away.

    now: (B, 1), of the list itself.
    edited: (B, M, N), of neighbor (j, k): candidate k in slot j and, where k stands in the list
        already, both places swapped (`neighbors.all_edits`). It says nothing of k in its own slot,
        and of slots and candidates that are not there.
    """

    current: Tensor
    after_edit: Tensor


def one_hot_list(lists: Tensor, slot_valid: Tensor, candidates: int) -> Tensor:
    """(B, M, N): 1 where candidate k stands in slot j of lists (B, M), else 0."""
    every = torch.arange(candidates, device=lists.device, dtype=lists.dtype)
    return ((lists.unsqueeze(-1) == every) & slot_valid.unsqueeze(-1)).to(torch.float32)


def score_neighborhood(
    net: PairEvaluator, candidate_encodings: Tensor, one_hot: Tensor, weights: RewardWeightTensors
) -> NeighborRewards:
    """Rewards of a list and of all its neighbors.

    Args:
        net: the evaluator.
        known: (E, B, N, Z), its encoding of the candidates.
        here: (B, M, N), the list as `one_hot_list` says it.
        worth: what counts.
    """
    brings = _click_values(net, candidate_encodings, weights)  # (E, B, j, N)
    among = brings @ one_hot.transpose(-1, -2)  # (E, B, j, m): of m's item in slot j
    eye = torch.eye(one_hot.shape[1], device=one_hot.device)
    counts = _ClickValues(brings, among, (among * eye).sum(dim=-1, keepdim=True))
    if net.item_interactions:
        now, replaced, swapped = _rewards_with_interactions(
            net, candidate_encodings, one_hot, counts
        )
    else:
        now, replaced, swapped = _rewards_without_interactions(
            net, candidate_encodings, one_hot, counts
        )
    free = 1.0 - one_hot.sum(dim=-2, keepdim=True)  # (B, 1, N): 1 where k stands nowhere
    edited = replaced * free + swapped @ one_hot
    return NeighborRewards(now.sum(dim=-2).mean(dim=0), edited.mean(dim=0))


class _ClickValues(NamedTuple):
    """What a click counts: of k in slot j, of m's item in slot j, of what stands in j now.

    offered: (E, B, j, N).  swapped: (E, B, j, m).  now: (E, B, j, 1).
    """

    offered: Tensor
    swapped: Tensor
    now: Tensor


def _click_values(net: PairEvaluator, known: Tensor, worth: RewardWeightTensors) -> Tensor:
    """(E, B, M, N): what a click on candidate k in slot j counts."""
    p = torch.sigmoid(known[..., 1].unsqueeze(-2) + net.conversion_bias[:, None, :, None])
    return (
        p * worth.conversion_weight.unsqueeze(-2) + worth.click_weight.unsqueeze(-2)
    ) * worth.slot_weight.unsqueeze(-1)


RewardParts = tuple[
    Tensor, Tensor, Tensor
]  # now (E, B, j, 1), replaced (E, B, j, N), swapped (.., m)


def _rewards_without_interactions(
    net: PairEvaluator, known: Tensor, here: Tensor, counts: _ClickValues
) -> RewardParts:
    """Where no item acts on another, only what moves changes what it brings."""
    p = (
        torch.sigmoid(known[..., 0].unsqueeze(-2))
        * torch.sigmoid(net.examination_logits)[:, None, :, None]
    )
    own = counts.offered * p  # (E, B, j, N)
    moved = counts.swapped * (p @ here.transpose(-1, -2))  # (E, B, j, m)
    eye = torch.eye(here.shape[1], device=here.device)
    now = (moved * eye).sum(dim=-1, keepdim=True)
    left = now.sum(dim=-2, keepdim=True) - now  # without slot j
    both = moved - now
    return now, left + own, left + now + both + both.transpose(-1, -2)


def _rewards_with_interactions(
    net: PairEvaluator, known: Tensor, here: Tensor, counts: _ClickValues
) -> RewardParts:
    """Each slot's click is two logits, appeal and being looked at, in one axis of 2 M: (c, j)."""
    m = here.shape[1]
    fixed = _InteractionConstants.from_evaluator(net)
    shown = here @ known  # (E, B, M, Z), zeros in a slot that is not there
    rows = (shown.unsqueeze(-2) * fixed.field_columns + fixed.relevance_row).flatten(2, 3)
    alike = rows @ known.transpose(-1, -2)  # (E, B, M * (h + 1), N)
    among = alike @ here.transpose(-1, -2)  # (E, B, M * (h + 1), m)
    per_slot = (m, rows.shape[2] // m)
    heard = fixed.interaction @ alike.unflatten(2, per_slot)  # (E, B, l, 2 j, N): l of k in slot j
    by_slot = among.unflatten(2, per_slot)
    hears = fixed.interaction @ by_slot  # (E, B, l, 2 j, m): l of m's item in slot j
    gone = (hears * fixed.self_mask).sum(dim=-1)  # (E, B, l, 2 j): l of what stands in j
    base = gone @ fixed.sum_matrix + shown @ fixed.relevance_columns + fixed.examination_offset
    without, now = base.split((2 * m, 2), dim=-1)  # (E, B, l, ..)
    looked, appeal = torch.sigmoid(heard + without.unsqueeze(-1)).split(m, dim=3)
    rest = counts.now.transpose(-1, -2) @ (looked * appeal).flatten(-2)  # (E, B, 1, j * N)
    own = fixed.own_interaction @ alike + fixed.contrast @ shown[..., :1]  # (E, B, j, N)
    p_now = torch.sigmoid(now)
    put = counts.offered * torch.sigmoid(own) * p_now[..., :1]
    # logit of slot b with a's item in it and b's item in slot a
    turned = ((by_slot @ fixed.minus_self) * fixed.interaction_transposed).sum(
        dim=-2
    )  # (E, B, a, b)
    own_swapped = here @ own.transpose(-1, -2) + turned
    swapped = _swap_rewards(hears - gone.unsqueeze(-1), now, own_swapped, counts)
    return counts.now * p_now.prod(dim=-1, keepdim=True), rest.view(put.shape) + put, swapped


def _swap_rewards(change: Tensor, now: Tensor, own: Tensor, counts: _ClickValues) -> Tensor:
    """(E, B, a, b), rewards when what stands in a and in b change places.

    Args:
        change: (E, B, l, 2 a, b), what l hears more when b's item stands in a, too.
        now: (E, B, l, 2), logits of the list.
        own: (E, B, a, b), logit of slot b with a's item in it.
        counts: what clicks count.
    """
    m = own.shape[-1]
    eye = torch.eye(m, device=own.device)
    other = (1.0 - eye).unsqueeze(-1) * (1.0 - eye).unsqueeze(-2)  # (l, a, b): l is neither
    at_a, at_b = eye.unsqueeze(-1), eye.unsqueeze(-2)
    heard = torch.stack([torch.ones_like(other), other], dim=1)  # (l, 2, a, b)
    at_b = torch.stack([torch.zeros_like(at_b), at_b], dim=1)  # (l, 2, 1, b)
    half = change.unflatten(-2, (2, m)) * heard + own[:, :, None, None] * at_b
    logits = half + half.transpose(-1, -2) + now[..., None, None] * heard
    p = torch.sigmoid(logits).prod(dim=3)  # (E, B, l, a, b)
    count = counts.swapped.unsqueeze(2) * at_a
    count = count + count.transpose(-1, -2) + counts.now.unsqueeze(-1) * other
    return (count * p).sum(dim=2)


class _InteractionConstants(NamedTuple):
    """Weights in the forms that `_together` multiplies by; a graph has them as constants.

    part: (h + 1, Z), which numbers of a candidate belong to field h.
    relevance: (h + 1, Z), the row that asks for a candidate's relevance.
    hears: (E, 1, l, 2 j, h + 1), what slot l hears of slot j.
    itself: (2 j, m), 1 where m is j.
    spread: (2 j, 2 j + 2), from what j adds to l to what all but j add, and to what all add.
    first: (Z, 2 j + 2), relevance, for the logits that have it.
    offset: (E, 1, l, 2 j + 2), examination, for those that have that; never l is j.
    own: (E, 1, j, M * (h + 1)), what slot j hears as the others hear it, and relevance once.
    contrast: (E, 1, j, l).
    less: (a, m, b), takes what a is to itself from what it is to b.
    back: (E, 1, a, h + 1, b), what slot b hears of slot a.
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
        """Looked at first, appeal second, along the axis of two."""
        e, heads, m, _ = net.similarity_weights.shape
        z, device = net.candidate_width, net.similarity_weights.device
        eye, every = torch.eye(m, device=device), torch.ones(m, m, device=device)
        width = (z - 2) // heads
        field = torch.eye(heads + 1, device=device)[:, :heads].repeat_interleave(width, dim=1)
        part = torch.cat([torch.zeros(heads + 1, 2, device=device), field], dim=1)
        relevance = torch.zeros(heads + 1, z, device=device)
        relevance[heads, 0] = 1.0
        near, none = (
            net.similarity_weights * net.off_diagonal,
            torch.zeros_like(net.similarity_weights),
        )
        contrast = (net.contrast_weights * net.off_diagonal).unsqueeze(1)
        appeal = torch.cat([near, contrast], dim=1)  # (E, h + 1, l, j)
        looked = torch.cat([none, (net.examination_weights * net.off_diagonal).unsqueeze(1)], dim=1)
        hears = torch.stack([looked, appeal], dim=3).flatten(3)  # (E, h + 1, l, 2 j)
        once = torch.zeros(e, 1, m, m, device=device)
        once[..., 0] = 1.0
        own = torch.cat([near, once], dim=1).permute(0, 2, 3, 1).flatten(2)
        sums = torch.block_diag(every[:, :1], every[:, :1])  # (2 j, 2)
        spread = torch.cat([torch.block_diag(every - eye, every - eye), sums], dim=1)
        first = torch.zeros(z, 2 * m + 2, device=device)
        first[0, m : 2 * m] = first[0, 2 * m + 1] = 1.0
        examined = net.examination_logits.unsqueeze(-1)  # (E, l, 1)
        never = (-_MASKING_LOGIT * eye).expand(e, -1, -1)
        offset = [examined.expand(-1, -1, m), never, examined, torch.zeros_like(examined)]
        return cls(
            field_columns=part,
            relevance_row=relevance,
            interaction=hears.permute(0, 2, 3, 1).unsqueeze(1),
            self_mask=torch.cat([eye, eye]),
            sum_matrix=spread,
            relevance_columns=first,
            examination_offset=torch.cat(offset, dim=-1).unsqueeze(1),
            own_interaction=own.unsqueeze(1),
            contrast=contrast,
            minus_self=eye - eye.unsqueeze(-1),
            interaction_transposed=appeal.permute(0, 3, 1, 2).unsqueeze(1),
        )
