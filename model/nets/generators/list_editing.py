"""Editing lists with the generator: T unrolled edits that keep every list free of duplicates.

`encode_and_edit` is what the exported graph runs. An edit puts candidate k into slot j; when k already
stands in slot l, the two are swapped. Choosing the item that is there changes nothing and closes
the slot for the list's later edits.
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
        known: what the evaluator has computed of it.
        start: where editing begins.
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
    """`encode_and_edit` for a request that the generator has encoded."""
    counts = None if rules is None else RuleCounts.from_rules(rules, request)
    # What no edit changes is ruled out once: all noise of what may not be chosen.
    never = candidate_penalty(request, start)
    item_noise = start.noise_item + never[:, None, None, :]
    begun = initial_lists(request, start, never, counts)
    at = initial_edit_state(request, begun, start.editable)
    for t in range(start.noise_slot.shape[2]):
        noise = (start.noise_slot[:, :, t], item_noise[:, :, t])
        at = edit_step(net, state, at, noise, counts, stop_on_no_change=stop_on_no_change)
    return to_candidate_indices(request, at)


def left_to_right_noise(edits: int, slots: int) -> Tensor:
    """Noise (T, M) by which edit t takes slot t mod M: added to any other, it decides."""
    turn = functional.one_hot(torch.arange(edits) % slots, slots)
    return (turn - 1.0) * FORCED_SLOT_PENALTY


class EditState(NamedTuple):
    """Lists between two edits; one list for all K (L = 1) before the first of them.

    rows: (B, L, M) int64, what stands in the slots as rows of flat tables (`GeneratorState`).
    closed: (B, L, M) bool, slots where no further edit may go.
    """

    rows: Tensor
    frozen_slots: Tensor


def initial_edit_state(request: RequestTensors, lists: Tensor, editable: Tensor) -> EditState:
    """Lists (B, M) of places before their first edit; editable: (B, M) bool."""
    closed = ~(editable & request.slot_valid).unsqueeze(1)
    return EditState(lists.long().unsqueeze(1) + row_offsets(request.cand_valid), closed)


def to_candidate_indices(request: RequestTensors, edited: EditState) -> Tensor:
    """(B, L, M) int64, lists as places in the candidates; 0 in slots that are not there."""
    there = request.slot_valid.unsqueeze(1)
    return torch.where(there, edited.rows - row_offsets(request.cand_valid), 0)


def edit_step(
    net: Generator,
    state: GeneratorState,
    edited: EditState,
    noise: tuple[Tensor, Tensor],
    rules: RuleCounts | None = None,
    *,
    stop_on_no_change: bool = False,
) -> EditState:
    """One decision of PDU and CRU for each list, and what it makes of the list.

    A list without an open slot stays as it is.

    Args:
        net, state: the generator and the encoded request.
        at: the lists.
        noise: for slots (B, K, M), and for items (B, K, N) with what is never allowed ruled out.
        rules: counts that no edit may break; None when there are none.
        stop: whether "no change" closes the list and not only the slot.
    """
    seen = net.encode_lists(state, edited.rows)
    h = (net.slot_logits(state, seen) + noise[0]).masked_fill(
        edited.frozen_slots, -FORBIDDEN_PENALTY
    )
    chosen = h.argmax(dim=-1, keepdim=True)  # (B, K, 1)
    rows, closed = edited.rows.expand(h.shape), edited.frozen_slots.expand(h.shape)
    g = net.item_logits(state, seen, rows, chosen) + noise[1]
    if rules is not None:
        g = g - edit_rule_violations(rules, rows, state.row_offset, chosen) * FORBIDDEN_PENALTY
    here = rows.gather(-1, chosen)  # (B, K, 1) the item that stands there
    stuck = closed.gather(-1, chosen)
    item = torch.where(stuck, here, g.argmax(dim=-1, keepdim=True) + state.row_offset)
    moved = torch.where(rows == item, here, rows).scatter(-1, chosen, item)
    kept = item == here
    closed = closed | kept if stop_on_no_change else closed.scatter(-1, chosen, kept)
    return EditState(moved, closed)
