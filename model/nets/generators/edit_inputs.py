"""Inputs of list editing: the start list, editable slots and noise.

Lists start at the input list or in the generator's relevance order; `list_editing.py` edits them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.nets.generators.abstract_generator import row_offsets
from model.nets.request_tensors import RequestTensors
from model.nets.rule_counts import RuleCounts, satisfies_rules

FORBIDDEN_PENALTY = 1e12  # larger than any logit


class EditInputs(NamedTuple):
    """Start lists of editing, and the noise by which the lists differ.

    input_list: (B, M) int, candidate indices without repetition.
    editable: (B, M) bool, slots that an edit may change.
    noise_slot: (B, K, T, M) float, already scaled.
    noise_item: (B, K, T, N) float, already scaled.
    relevance_scores: (B, N) float, from `Generator.relevance_scores`; None where all K lists start
        at the input list.
    """

    input_list: Tensor
    editable: Tensor
    noise_slot: Tensor
    noise_item: Tensor
    relevance_scores: Tensor | None = None


def fill_by_score(scores: Tensor, lists: Tensor, open_slots: Tensor) -> Tensor:
    """Fill the open slots of lists with the best candidates by score; returns (B, M) int64.

    Ties go to the lower index, which is the upstream order.

    Args:
        scores: (B, N) float, far below the others for forbidden candidates.
        lists: (B, M) int64.
        open_slots: (B, M) bool, at most as many as there are allowed candidates.
    """
    slots = lists.shape[1]
    padded = functional.pad(scores, (0, slots), value=-FORBIDDEN_PENALTY)  # N may be less than M
    if torch.compiler.is_compiling():  # ties: the runtime takes the lower index, torch any index
        best = padded.topk(slots, dim=-1).indices
    else:
        best = padded.sort(dim=-1, descending=True, stable=True).indices[..., :slots]
    is_open = open_slots.long()
    rank = is_open.cumsum(dim=-1) - is_open  # open slots before this one
    return torch.where(open_slots, best.gather(-1, rank), lists)


def initial_lists(
    request: RequestTensors,
    start: EditInputs,
    candidate_penalty: Tensor,
    counts: RuleCounts | None = None,
) -> Tensor:
    """Lists (B, M) int64 from which all K lists of a request start.

    Candidates are in relevance order, with pinned items in place. Without scores, or where that
    list breaks a rule, the start is the input list, which satisfies the rules.

    Args:
        request, start: the batch.
        candidate_penalty: (B, N) float, from the function of that name.
        counts: the rules.
    """
    input_lists = start.input_list.long()
    if start.relevance_scores is None:
        return input_lists
    lists = fill_by_score(
        start.relevance_scores + candidate_penalty, input_lists, start.editable & request.slot_valid
    )
    if counts is None:
        return lists
    feasible = satisfies_rules(
        counts, (lists + row_offsets(request.cand_valid).squeeze(1)).unsqueeze(1)
    )
    return torch.where(feasible, lists, input_lists)


def candidate_penalty(request: RequestTensors, start: EditInputs) -> Tensor:
    """Penalty (B, N), added to the noise, that excludes padded candidates and pinned items."""
    pinned = request.slot_valid & ~start.editable
    penalty = torch.where(pinned, -FORBIDDEN_PENALTY, 0.0)
    return mask_to_penalty(request.cand_valid).scatter_add(-1, start.input_list.long(), penalty)


def mask_to_penalty(allowed: Tensor) -> Tensor:
    """0 where allowed, else a penalty larger than any logit."""
    return torch.where(allowed, 0.0, -FORBIDDEN_PENALTY)
