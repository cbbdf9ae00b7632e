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
from model.nets.generator import Generator, GeneratorState, Place
from model.nets.inputs import RequestTensors

FORCED = 1e6  # larger than any logit


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

    lists: (B, K, M) int, places in the candidates, no item twice.
    editable: (B, M) bool, slots that an edit may touch.
    noise_slot: (B, K, T, M); noise_item: (B, K, T, N); already scaled.
    """

    lists: Tensor
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
    """Edit T times and return the lists, (B, K, M) int like `start.lists`.

    Args:
        net, request: the generator and the batch.
        known: what the evaluator has computed of it.
        start: where editing begins.
        rules: counts that no edit may break; None when there are none.
        stop_on_no_change: the paper's stopping rule.
    """
    state = net.encode(request, known)
    lists = start.lists
    open_slots = (start.editable & request.slot_valid).unsqueeze(1).expand(lists.shape)
    for t in range(start.noise_slot.shape[2]):
        noise = (start.noise_slot[:, :, t], start.noise_item[:, :, t])
        slot, item = choose_edit(
            net, state, request, (lists, open_slots, start.editable), noise, rules
        )
        unchanged = (slot & (lists == item.unsqueeze(-1))).any(dim=-1, keepdim=True)
        if stop_on_no_change:
            open_slots = open_slots & ~unchanged
        else:
            open_slots = open_slots & ~(slot & unchanged)
        lists = apply_edit(lists, slot, item, request.slot_valid)
    return lists


def in_turn(edits: int, slots: int) -> Tensor:
    """Noise (T, M) by which edit t takes slot t mod M: added to any other, it decides."""
    turn = functional.one_hot(torch.arange(edits) % slots, slots)
    return (turn - 1.0) * FORCED


def choose_edit(
    net: Generator,
    state: GeneratorState,
    request: RequestTensors,
    at: tuple[Tensor, Tensor, Tensor],
    noise: tuple[Tensor, Tensor],
    rules: Rules | None,
) -> tuple[Tensor, Tensor]:
    """One decision of PDU and CRU for each list.

    Args:
        net, state, request: the generator and the encoded request.
        at: lists (B, K, M), open slots (B, K, M) bool, editable (B, M) bool.
        noise: for slots (B, K, M) and for items (B, K, N).
        rules: counts that no edit may break; None when there are none.

    Returns:
        slot (B, K, M) bool one-hot, and item (B, K) int. A list without an open slot gets the item
        that is already there.
    """
    lists, open_slots, editable = at
    looked = net.look(state, lists)
    h = net.slot_logits(state, looked, request.slot_valid) + noise[0]
    h = h.masked_fill(~open_slots, torch.finfo(h.dtype).min)
    slot = functional.one_hot(h.argmax(dim=-1), lists.shape[-1]).bool()
    here = (lists * slot).sum(dim=-1)  # (B, K) the item that stands there
    stands = standing(request, lists)
    g = net.item_logits(state, Place(looked, stands, slot.to(h.dtype)), request.slot_valid)
    g = g + noise[1]
    allowed = allowed_items(request, stands, slot, editable, rules)
    item = g.masked_fill(~allowed, torch.finfo(g.dtype).min).argmax(dim=-1)
    item = torch.where(open_slots.any(dim=-1), item, here).to(lists.dtype)
    return slot, item


def standing(request: RequestTensors, lists: Tensor) -> Tensor:
    """(B, K, M, N) bool: which candidate stands in which slot."""
    places = torch.arange(request.cand_valid.shape[-1], device=lists.device, dtype=lists.dtype)
    return (lists.unsqueeze(-1) == places) & request.slot_valid[:, None, :, None]


def allowed_items(
    request: RequestTensors, stands: Tensor, slot: Tensor, editable: Tensor, rules: Rules | None
) -> Tensor:
    """(B, K, N) bool: candidates that may go into the chosen slot. What is there always may.

    A candidate in a slot that may not be edited would have to move, so it is not allowed.
    """
    fixed = (stands & ~editable[:, None, :, None]).any(dim=2)
    allowed = request.cand_valid.unsqueeze(1) & ~fixed
    if rules is None:
        return allowed
    return allowed & _keeps_rules(stands, slot, rules)


def _keeps_rules(stands: Tensor, slot: Tensor, rules: Rules) -> Tensor:
    """Whether the counts stay in their bounds, for each candidate that could go into the slot.

    Putting k into slot j and, when k stood in slot l, the old item o into l changes count r by
    (slots_rj - slots_rl) (member_rk - member_ro); without such an l by slots_rj (..).
    """
    member = rules.member.to(rules.minimum.dtype)  # (B, R, N)
    counted = rules.slots.to(member.dtype)  # (B, R, M)
    standing = stands.to(member.dtype)  # (B, K, M, N)
    in_slot = standing @ member.transpose(-1, -2).unsqueeze(1)  # (B, K, M, R)
    count = (in_slot * counted.transpose(-1, -2).unsqueeze(1)).sum(dim=2)  # (B, K, R)
    chosen = slot.to(member.dtype)  # (B, K, M)
    at_slot = chosen @ counted.transpose(-1, -2)  # (B, K, R): slots_rj
    old = (chosen.unsqueeze(-1) * in_slot).sum(dim=2)  # (B, K, R): member_ro
    came_from = counted.unsqueeze(1) @ standing  # (B, K, R, N): slots_rl, 0 if k is in no slot
    change = (at_slot.unsqueeze(-1) - came_from) * (member.unsqueeze(1) - old.unsqueeze(-1))
    after = count.unsqueeze(-1) + change  # (B, K, R, N)
    lower, upper = rules.minimum[:, None, :, None], rules.maximum[:, None, :, None]
    return ((after >= lower) & (after <= upper)).all(dim=2)


def apply_edit(lists: Tensor, slot: Tensor, item: Tensor, slot_valid: Tensor) -> Tensor:
    """Put `item` into `slot`; where it already stood, the old item goes.

    Args:
        lists: (B, K, M) int; slot: (B, K, M) bool one-hot; item: (B, K) int.
        slot_valid: (B, M) bool.
    """
    here = (lists * slot).sum(dim=-1, keepdim=True).to(lists.dtype)
    item = item.unsqueeze(-1)
    swapped = torch.where((lists == item) & slot_valid.unsqueeze(1), here, lists)
    return torch.where(slot, item, swapped)
