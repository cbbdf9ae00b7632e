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

from model.nets.evaluator import Encoded
from model.nets.generator import Generator, GeneratorState, first_rows
from model.nets.inputs import RequestTensors

FORCED = 1e6  # larger than any logit
RULED_OUT = 1e12  # and than what is forced


class Rules(NamedTuple):
    """Rules of a batch of requests as counts (contract/rule_arrays.py); a start list obeys them.

    member: (B, R, N) bool; slots: (B, R, M) bool; minimum, maximum: (B, R) float.
    """

    member: Tensor
    slots: Tensor
    minimum: Tensor
    maximum: Tensor


class EditStart(NamedTuple):
    """Where editing starts, and the noise that makes lists differ.

    given: (B, M) int, the list that all K start from: places in the candidates, no item twice.
    editable: (B, M) bool, slots that an edit may touch.
    noise_slot: (B, K, T, M); noise_item: (B, K, T, N); already scaled.
    """

    given: Tensor
    editable: Tensor
    noise_slot: Tensor
    noise_item: Tensor


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
    at = begin_edits(request, start.given, start.editable)
    # What no edit changes is ruled out once: all noise of what may not be chosen.
    item_noise = start.noise_item + _ruled_out(request, start)[:, None, None, :]
    counts = None if rules is None else Counts.of(rules, request)
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
        g = g - _broken(rules, rows, state.first, chosen) * RULED_OUT
    here = rows.gather(-1, chosen)  # (B, K, 1) the item that stands there
    stuck = closed.gather(-1, chosen)
    item = torch.where(stuck, here, g.argmax(dim=-1, keepdim=True) + state.first)
    moved = torch.where(rows == item, here, rows).scatter(-1, chosen, item)
    kept = item == here
    closed = closed | kept if stop else closed.scatter(-1, chosen, kept)
    return EditState(moved, closed)


def _ruled_out(request: RequestTensors, start: EditStart) -> Tensor:
    """(B, N) float, for the noise of candidates that no edit may move.

    Those that are not there, and pinned ones, which would leave their slots.
    """
    pinned = request.slot_valid & ~start.editable
    penalty = torch.where(pinned, -RULED_OUT, 0.0)
    return _never(request.cand_valid).scatter_add(-1, start.given.long(), penalty)


def _never(allowed: Tensor) -> Tensor:
    """0 where allowed, else more than any logit can make up for."""
    return torch.where(allowed, 0.0, -RULED_OUT)


class Counts(NamedTuple):
    """Rules as numbers, made once a request.

    member: (B, 1, R, N); by_row: (B * N, R), the same of each row; slots: (B, 1, R, M).
    minimum, maximum: (B, 1, R, 1).
    """

    member: Tensor
    by_row: Tensor
    slots: Tensor
    minimum: Tensor
    maximum: Tensor

    @classmethod
    def of(cls, rules: Rules, request: RequestTensors) -> Counts:
        """Slots that are not there count nothing."""
        member = rules.member.to(torch.float32)
        slots = (rules.slots & request.slot_valid.unsqueeze(1)).to(torch.float32)
        return cls(
            member.unsqueeze(1),
            member.transpose(1, 2).flatten(0, 1),
            slots.unsqueeze(1),
            rules.minimum[:, None, :, None],
            rules.maximum[:, None, :, None],
        )


def _broken(counts: Counts, rows: Tensor, first: Tensor, chosen: Tensor) -> Tensor:
    """(B, K, N) float: 0 where the counts stay in their bounds, by candidate for the slot.

    Putting k into slot j and, when k stood in slot l, the old item o into l changes count r by
    (slots_rj - slots_rl) (member_rk - member_ro); without such an l by slots_rj (..).

    Args:
        counts: the rules.
        rows: (B, K, M), what stands where; first: (B, 1, 1), the row of candidate 0.
        chosen: (B, K, 1), the slot j.
    """
    n, m = counts.member.shape[-1], rows.shape[-1]
    candidates = torch.arange(n, device=rows.device) + first  # (B, 1, N)
    standing = (rows.unsqueeze(-1) == candidates.unsqueeze(-2)).to(torch.float32)
    in_slot = functional.embedding(rows, counts.by_row).transpose(-1, -2)  # (B, K, R, M)
    count = (in_slot * counts.slots).sum(dim=-1, keepdim=True)  # (B, K, R, 1)
    slot = functional.embedding(chosen, torch.eye(m, device=rows.device)).transpose(-1, -2)
    old = in_slot @ slot  # (B, K, R, 1): member_ro
    came_from = counts.slots @ standing  # (B, K, R, N): slots_rl, 0 if k is in no slot
    after = count + (counts.slots @ slot - came_from) * (counts.member - old)  # (B, K, R, N)
    beyond = torch.maximum(counts.minimum - after, after - counts.maximum)
    return torch.relu(beyond.amax(dim=2))
