"""List editing by the generator: T unrolled edits that keep every list free of duplicates.

The exported graph runs `encode_and_edit`. An edit puts candidate k into slot j; if slot l holds k,
the two items are swapped. Choosing the present item changes nothing and freezes the slot for the
later edits of the list.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.nets.evaluators.abstract_evaluator import EncodedRequest
from model.nets.generators.abstract_generator import Generator, GeneratorState, row_offsets
from model.nets.generators.edit_inputs import (
    FORBIDDEN_PENALTY,
    EditInputs,
    candidate_penalty,
    initial_lists,
)
from model.nets.request_tensors import RequestTensors
from model.nets.rule_counts import RuleCounts, RuleTensors, edit_rule_violations

FORCED_SLOT_PENALTY = 1e6  # larger than any logit, smaller than FORBIDDEN_PENALTY


def encode_and_edit(
    net: Generator,
    request: RequestTensors,
    evaluator_encoding: EncodedRequest,
    start: EditInputs,
    rules: RuleTensors | None = None,
    *,
    stop_on_no_change: bool = False,
) -> Tensor:
    """Edit T times and return the lists, (B, K, M) int64.

    Args:
        net, request: the generator and the batch.
        evaluator_encoding: encoding of the batch.
        start: start lists and noise.
        rules: counts that no edit may break; None when there are none.
        stop_on_no_change: the paper's stopping rule.
    """
    state = net.encode(request, evaluator_encoding)
    return edit_lists(net, state, request, start, rules, stop_on_no_change=stop_on_no_change)


def edit_lists(
    net: Generator,
    state: GeneratorState,
    request: RequestTensors,
    start: EditInputs,
    rules: RuleTensors | None = None,
    *,
    stop_on_no_change: bool = False,
) -> Tensor:
    """`encode_and_edit` for a request that is already encoded by the generator."""
    counts = None if rules is None else RuleCounts.from_rules(rules, request)
    # Forbidden candidates are the same for all edits, so their noise is lowered once.
    penalty = candidate_penalty(request, start)
    item_noise = start.noise_item + penalty[:, None, None, :]
    lists = initial_lists(request, start, penalty, counts)
    edited = initial_edit_state(request, lists, start.editable)
    for t in range(start.noise_slot.shape[2]):
        edited = edit_step(
            net,
            state,
            edited,
            counts,
            slot_noise=start.noise_slot[:, :, t],
            item_noise=item_noise[:, :, t],
            stop_on_no_change=stop_on_no_change,
        )
    return to_candidate_indices(request, edited)


def left_to_right_noise(edits: int, slots: int) -> Tensor:
    """Noise (T, M) that makes edit t take slot t mod M, regardless of other noise."""
    chosen = functional.one_hot(torch.arange(edits) % slots, slots)
    return (chosen - 1.0) * FORCED_SLOT_PENALTY


class EditState(NamedTuple):
    """Lists between two edits; one list for all K (L = 1) before the first edit.

    rows: (B, L, M) int64, items of the slots as rows of flat tables (`GeneratorState`).
    frozen_slots: (B, L, M) bool, slots that no further edit may take.
    """

    rows: Tensor
    frozen_slots: Tensor


def initial_edit_state(request: RequestTensors, lists: Tensor, editable: Tensor) -> EditState:
    """State before the first edit of index lists (B, M), with editable slots (B, M)."""
    frozen = ~(editable & request.slot_valid).unsqueeze(1)
    return EditState(lists.long().unsqueeze(1) + row_offsets(request.cand_valid), frozen)


def to_candidate_indices(request: RequestTensors, edited: EditState) -> Tensor:
    """Lists as candidate indices (B, L, M) int64; 0 in padded slots."""
    valid = request.slot_valid.unsqueeze(1)
    return torch.where(valid, edited.rows - row_offsets(request.cand_valid), 0)


def edit_step(
    net: Generator,
    state: GeneratorState,
    edited: EditState,
    rules: RuleCounts | None = None,
    *,
    slot_noise: Tensor,
    item_noise: Tensor,
    stop_on_no_change: bool = False,
) -> EditState:
    """Edit each list once by a decision of PDU and CRU.

    A list without an open slot is unchanged.

    Args:
        net, state: the generator and the encoded request.
        edited: the lists.
        rules: counts that no edit may break; None when there are none.
        slot_noise: (B, K, M) float.
        item_noise: (B, K, N) float, with the penalty of forbidden candidates.
        stop_on_no_change: freeze the whole list, not only the slot, where an edit changes nothing.
    """
    list_encoding = net.encode_lists(state, edited.rows)
    h = (net.slot_logits(state, list_encoding) + slot_noise).masked_fill(
        edited.frozen_slots, -FORBIDDEN_PENALTY
    )
    chosen = h.argmax(dim=-1, keepdim=True)  # (B, K, 1)
    rows, frozen = edited.rows.expand(h.shape), edited.frozen_slots.expand(h.shape)
    g = net.item_logits(state, list_encoding, rows, chosen) + item_noise
    if rules is not None:
        g = g - edit_rule_violations(rules, rows, state.row_offset, chosen) * FORBIDDEN_PENALTY
    present = rows.gather(-1, chosen)  # (B, K, 1)
    is_frozen = frozen.gather(-1, chosen)
    item = torch.where(is_frozen, present, g.argmax(dim=-1, keepdim=True) + state.row_offset)
    moved = torch.where(rows == item, present, rows).scatter(-1, chosen, item)
    kept = item == present
    frozen = frozen | kept if stop_on_no_change else frozen.scatter(-1, chosen, kept)
    return EditState(moved, frozen)
