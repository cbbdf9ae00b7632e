"""Where editing starts: at the list that is given, or at one in the generator's own order.

How lists are edited from there is `edits.py`.
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
    """Where editing starts, and the noise that makes lists differ.

    given: (B, M) int, the input list: places in the candidates, no item twice.
    editable: (B, M) bool, slots that an edit may touch.
    noise_slot: (B, K, T, M); noise_item: (B, K, T, N); already scaled.
    order: (B, N), of `Generator.order`; None where all K begin at the given list.
    """

    input_list: Tensor
    editable: Tensor
    noise_slot: Tensor
    noise_item: Tensor
    relevance_scores: Tensor | None = None


def fill_by_score(scores: Tensor, lists: Tensor, open_slots: Tensor) -> Tensor:
    """(B, M) int64: free slots take the candidates of the highest numbers, others stay as given.

    Ties go to the lower candidate, as upstream ranked them.

    Args:
        order: (B, N), candidates that may not be taken far below the others.
        given: (B, M) int64.
        free: (B, M) bool, of no more slots than there are candidates that may be taken.
    """
    slots = lists.shape[1]
    enough = functional.pad(scores, (0, slots), value=-FORBIDDEN_PENALTY)  # N may be less than M
    if torch.compiler.is_compiling():  # of equals the runtime takes the lower one, torch any
        best = enough.topk(slots, dim=-1).indices
    else:
        best = enough.sort(dim=-1, descending=True, stable=True).indices[..., :slots]
    each = open_slots.long()
    turn = each.cumsum(dim=-1) - each  # free slots before this one
    return torch.where(open_slots, best.gather(-1, turn), lists)


def initial_lists(
    request: RequestTensors,
    start: EditInputs,
    candidate_penalty: Tensor,
    counts: RuleCounts | None = None,
) -> Tensor:
    """(B, M) int64, the list that all K of a request start from.

    In the start's order but for pinned items, which stay. Where such a list breaks a rule, or there
    is no order, it is the given one, which obeys.

    Args:
        request, start: the batch.
        never: (B, N), of `candidate_penalty`.
        counts: the rules.
    """
    given = start.input_list.long()
    if start.relevance_scores is None:
        return given
    lists = fill_by_score(
        start.relevance_scores + candidate_penalty, given, start.editable & request.slot_valid
    )
    if counts is None:
        return lists
    lawful = satisfies_rules(
        counts, (lists + row_offsets(request.cand_valid).squeeze(1)).unsqueeze(1)
    )
    return torch.where(lawful, lists, given)


def candidate_penalty(request: RequestTensors, start: EditInputs) -> Tensor:
    """(B, N) float, for the noise of candidates that no edit may move.

    Those that are not there, and pinned ones, which would leave their slots.
    """
    pinned = request.slot_valid & ~start.editable
    penalty = torch.where(pinned, -FORBIDDEN_PENALTY, 0.0)
    return mask_to_penalty(request.cand_valid).scatter_add(-1, start.input_list.long(), penalty)


def mask_to_penalty(allowed: Tensor) -> Tensor:
    """0 where allowed, else more than any logit can make up for."""
    return torch.where(allowed, 0.0, -FORBIDDEN_PENALTY)
