"""Neighbors of a list, one edit away, as candidate indices and as inputs of the evaluator.

The hard form is the list itself; the relaxed form passes a gradient to the choice weights q.
Source: docs/explanation/method.md#generator-training.
"""

from __future__ import annotations

import torch
from torch import Tensor


def replace_each_slot(lists: Tensor, items: Tensor, slot_valid: Tensor) -> Tensor:
    """Replace each slot in turn; an item that is in the list already swaps slots.

    Args:
        lists: (B, M) int, candidate indices.
        items: (B, M) int, the candidate that goes into slot j.
        slot_valid: (B, M) bool; slots that do not exist stay as they are.

    Returns:
        (B, M, M) int: neighbor j of each list, by slot.
    """
    m = lists.shape[-1]
    at_j = torch.eye(m, dtype=torch.bool, device=lists.device)  # (j, l)
    there = slot_valid.unsqueeze(1)  # (B, 1, l)
    stands = (lists.unsqueeze(1) == items.unsqueeze(2)) & there  # (B, j, l)
    swapped = torch.where(stands, lists.unsqueeze(2), lists.unsqueeze(1))
    neighbors = torch.where(at_j, items.unsqueeze(2), swapped)
    return torch.where(slot_valid.unsqueeze(2), neighbors, lists.unsqueeze(1))


def all_neighbors(lists: Tensor, candidates: int, slot_valid: Tensor) -> Tensor:
    """Every neighbor, (B, M, N, M) int: candidate k into slot j; the list itself if k is in j."""
    b, m = lists.shape
    items = torch.arange(candidates, device=lists.device).expand(b, candidates)
    rows = items.unsqueeze(2).expand(b, candidates, m).reshape(b * candidates, m)
    repeated = lists.unsqueeze(1).expand(b, candidates, m).reshape(b * candidates, m)
    valid = slot_valid.unsqueeze(1).expand(b, candidates, m).reshape(b * candidates, m)
    edited = replace_each_slot(repeated, rows, valid).reshape(b, candidates, m, m)
    return edited.transpose(1, 2)


def relaxed_neighbors(
    candidates: Tensor, lists: Tensor, choice_weights: Tensor, slot_valid: Tensor
) -> Tensor:
    """Evaluator inputs in the slots of all neighbors, linear in the choice q.

    Slot j holds sum_k q_jk C_k; every other slot l holds (1 - q_jl) X_l + q_jl X_j, with q_jl the
    weight of the candidate in slot l. With a one-hot q this is the hard neighbor, on both sides of
    a swap.

    Args:
        candidates: (E, B, N, Z) float, encoding of each candidate.
        lists: (B, M) int.
        choice_weights: (B, M, N) float, q; row j sums to 1 over candidates.
        slot_valid: (B, M) bool.

    Returns:
        (E, B, M, M, Z): neighbor j, slot l.
    """
    e, _, _, z = candidates.shape
    m = lists.shape[1]
    index = lists.unsqueeze(-1).unsqueeze(0).expand(e, *lists.shape, z)
    now = candidates.gather(2, index)  # (E, B, M, Z)
    chosen = choice_weights @ candidates  # (E, B, j, Z)
    in_list = choice_weights.gather(2, lists.unsqueeze(1).expand(-1, m, -1))  # (B, j, l): q_jl
    in_list = (in_list * slot_valid.unsqueeze(1)).unsqueeze(-1)
    moved = now.unsqueeze(2) + in_list * (now.unsqueeze(3) - now.unsqueeze(2))
    at_j = torch.eye(m, dtype=torch.bool, device=lists.device).unsqueeze(-1)
    return torch.where(at_j, chosen.unsqueeze(3), moved)
