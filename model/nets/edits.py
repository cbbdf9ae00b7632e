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
from model.nets.generator import Generator, GeneratorState
from model.nets.inputs import RequestTensors
from model.nets.layers import take_lists

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
    at = begin_edits(net, state, request, start.lists, start.editable)
    # What no edit changes is ruled out once: all noise of what may not be chosen.
    item_noise = start.noise_item + _never(allowed_items(request, at, start.editable)).unsqueeze(2)
    for t in range(start.noise_slot.shape[2]):
        noise = (start.noise_slot[:, :, t], item_noise[:, :, t])
        at = edit_once(net, state, at, noise, rules, stop=stop_on_no_change)
    return at.lists


def in_turn(edits: int, slots: int) -> Tensor:
    """Noise (T, M) by which edit t takes slot t mod M: added to any other, it decides."""
    turn = functional.one_hot(torch.arange(edits) % slots, slots)
    return (turn - 1.0) * FORCED


class EditState(NamedTuple):
    """Lists between two edits.

    lists: (B, K, M) int64.
    looked: (B, K, M, Zg), what stands in the slots (`Generator.look`); every edit mends it.
    closed: (B, K, M) float, above 0 where no further edit may go.
    there: (B, 1, M) bool, slots that the request has.
    """

    lists: Tensor
    looked: Tensor
    closed: Tensor
    there: Tensor


def begin_edits(
    net: Generator, state: GeneratorState, request: RequestTensors, lists: Tensor, editable: Tensor
) -> EditState:
    """Lists (B, K, M) before their first edit; editable: (B, M) bool."""
    looked = net.look(state, lists)
    there = request.slot_valid.unsqueeze(1)
    closed = (~(editable.unsqueeze(1) & there)).to(looked.dtype).expand(lists.shape)
    return EditState(lists.long(), looked, closed, there)


def edit_once(
    net: Generator,
    state: GeneratorState,
    at: EditState,
    noise: tuple[Tensor, Tensor],
    rules: Rules | None = None,
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
    seen = net.see(state, at.looked)
    h = net.slot_logits(state, at.looked, seen) + noise[0] - at.closed * RULED_OUT
    chosen = h.argmax(dim=-1, keepdim=True)  # (B, K, 1)
    places = torch.arange(h.shape[-1], device=h.device)
    slot = (chosen == places).to(h.dtype)
    here = at.lists.gather(-1, chosen)  # (B, K, 1) the item that stands there
    g = net.item_logits(state, seen, at.lists, slot) + noise[1]
    if rules is not None:
        g = g + _never(_keeps_rules(standing(at, g.shape[-1]), slot, rules))
    stuck = at.closed.gather(-1, chosen) > 0.0
    item = torch.where(stuck, here, g.argmax(dim=-1, keepdim=True))
    closing = (item == here).to(h.dtype)
    closed = at.closed + (closing if stop else slot * closing)
    return _moved(state, at, slot, (item, here))._replace(closed=closed)


def _moved(
    state: GeneratorState, at: EditState, slot: Tensor, items: tuple[Tensor, Tensor]
) -> EditState:
    """Put an item into the slot and, where it already stood, the old one: a sum of differences."""
    item, here = items
    stood = (at.lists == item) & at.there
    move = slot - stood.to(slot.dtype)  # (B, K, M): 1 where the item comes, -1 where it leaves
    come, old = take_lists(state.in_list, item), slot.unsqueeze(-2) @ at.looked  # (B, K, 1, Zg)
    looked = at.looked + move.unsqueeze(-1) * (come - old)
    return at._replace(lists=at.lists + move.long() * (item - here), looked=looked)


def allowed_items(request: RequestTensors, at: EditState, editable: Tensor) -> Tensor:
    """(B, K, N) bool: candidates that edits may move; a pinned one would leave its slot."""
    stands = standing(at, request.cand_valid.shape[-1])
    pinned = (stands & ~editable[:, None, :, None]).any(dim=2)
    return request.cand_valid.unsqueeze(1) & ~pinned


def standing(at: EditState, candidates: int) -> Tensor:
    """(B, K, M, N) bool: which candidate stands in which slot."""
    places = torch.arange(candidates, device=at.lists.device)
    return (at.lists.unsqueeze(-1) == places) & at.there.unsqueeze(-1)


def _never(allowed: Tensor) -> Tensor:
    """0 where allowed, else more than any logit can make up for."""
    return (~allowed).to(torch.float32) * -RULED_OUT


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
