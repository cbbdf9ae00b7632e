"""Editing lists with the generator: T unrolled edits that keep every list free of duplicates.

`propose` is what the exported graph runs. An edit puts candidate k into slot j; when k already
stands in slot l, the two are swapped. Choosing the item that is there changes nothing and closes
the slot for the list's later edits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.nets.edit_start import RULED_OUT, EditStart, first_lists, ruled_out
from model.nets.evaluator import Encoded
from model.nets.generator import Generator, GeneratorState, first_rows
from model.nets.inputs import RequestTensors
from model.nets.rule_counts import Counts, Rules, broken_by_edit

FORCED = 1e6  # larger than any logit, smaller than RULED_OUT


def propose(
    net: Generator,
    request: RequestTensors,
    known: Encoded,
    start: EditStart,
    rules: Rules | None = None,
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
    state = net.encode(request, known)
    return edit(net, state, request, start, rules, stop=stop_on_no_change)


def edit(
    net: Generator,
    state: GeneratorState,
    request: RequestTensors,
    start: EditStart,
    rules: Rules | None = None,
    *,
    stop: bool = False,
) -> Tensor:
    """`propose` for a request that the generator has encoded."""
    counts = None if rules is None else Counts.of(rules, request)
    # What no edit changes is ruled out once: all noise of what may not be chosen.
    never = ruled_out(request, start)
    item_noise = start.noise_item + never[:, None, None, :]
    begun = first_lists(request, start, never, counts)
    at = begin_edits(request, begun, start.editable)
    for t in range(start.noise_slot.shape[2]):
        noise = (start.noise_slot[:, :, t], item_noise[:, :, t])
        at = edit_once(net, state, at, noise, counts, stop=stop)
    return places(request, at)


def in_turn(edits: int, slots: int) -> Tensor:
    """Noise (T, M) by which edit t takes slot t mod M: added to any other, it decides."""
    turn = functional.one_hot(torch.arange(edits) % slots, slots)
    return (turn - 1.0) * FORCED


class EditState(NamedTuple):
    """Lists between two edits; one list for all K (L = 1) before the first of them.

    rows: (B, L, M) int64, what stands in the slots as rows of flat tables (`GeneratorState`).
    closed: (B, L, M) bool, slots where no further edit may go.
    """

    rows: Tensor
    closed: Tensor


def begin_edits(request: RequestTensors, given: Tensor, editable: Tensor) -> EditState:
    """Lists (B, M) of places before their first edit; editable: (B, M) bool."""
    closed = ~(editable & request.slot_valid).unsqueeze(1)
    return EditState(given.long().unsqueeze(1) + first_rows(request.cand_valid), closed)


def places(request: RequestTensors, at: EditState) -> Tensor:
    """(B, L, M) int64, lists as places in the candidates; 0 in slots that are not there."""
    there = request.slot_valid.unsqueeze(1)
    return torch.where(there, at.rows - first_rows(request.cand_valid), 0)


def edit_once(
    net: Generator,
    state: GeneratorState,
    at: EditState,
    noise: tuple[Tensor, Tensor],
    rules: Counts | None = None,
    *,
    stop: bool = False,
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
    seen = net.see(state, at.rows)
    h = (net.slot_logits(state, seen) + noise[0]).masked_fill(at.closed, -RULED_OUT)
    chosen = h.argmax(dim=-1, keepdim=True)  # (B, K, 1)
    rows, closed = at.rows.expand(h.shape), at.closed.expand(h.shape)
    g = net.item_logits(state, seen, rows, chosen) + noise[1]
    if rules is not None:
        g = g - broken_by_edit(rules, rows, state.first, chosen) * RULED_OUT
    here = rows.gather(-1, chosen)  # (B, K, 1) the item that stands there
    stuck = closed.gather(-1, chosen)
    item = torch.where(stuck, here, g.argmax(dim=-1, keepdim=True) + state.first)
    moved = torch.where(rows == item, here, rows).scatter(-1, chosen, item)
    kept = item == here
    closed = closed | kept if stop else closed.scatter(-1, chosen, kept)
    return EditState(moved, closed)
