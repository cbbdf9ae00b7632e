"""What the generator would do with every slot of a list, all slots at once (training only).

Serving edits one slot at a time: `edits.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.nets.generator import Generator, GeneratorState
from model.nets.inputs import RequestTensors


class Choices(NamedTuple):
    """What the policy says and does for every slot of a batch of lists.

    log_p: (B, M) log probability of editing slot j, without noise.
    g: (B, M, N) CRU logits, forbidden candidates at the dtype's minimum.
    noisy: (B, M, N) the same with noise.
    items: (B, M) the replacement chosen for slot j.
    """

    log_p: Tensor
    g: Tensor
    noisy: Tensor
    items: Tensor


class Draw(NamedTuple):
    """How the replacement of every slot is drawn.

    noise: (B, M, N), scaled; argmax(g + noise) is a draw from the CRU.
    blind: (B, M) bool, slots where argmax(prior + noise) is taken instead.
    prior: (B, N) log weights of the candidates there; None draws uniformly.
    """

    noise: Tensor
    blind: Tensor
    prior: Tensor | None = None


def gumbel_noise(shape_: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
    """Standard Gumbel noise from a CPU generator, so that a seed means the same on any device."""
    uniform = torch.rand(shape_, generator=rng).clamp(1e-7, 1.0 - 1e-7)
    return (-torch.log(-torch.log(uniform))).to(device)


def choose_for_every_slot(
    net: Generator,
    state: GeneratorState,
    request: RequestTensors,
    lists: Tensor,
    draw: Draw,
) -> Choices:
    """PDU and CRU for each slot of each list at once.

    Args:
        net, state, request: the generator and the encoded batch.
        lists: (B, M) int.
        draw: noise, and which slots ask something other than the CRU.
    """
    b, m = lists.shape
    rows = lists.unsqueeze(1) + state.first  # (B, 1, M)
    seen = net.see(state, rows)
    h = net.slot_logits(state, seen).squeeze(1)
    floor = torch.finfo(h.dtype).min
    log_p = torch.log_softmax(h.masked_fill(~request.slot_valid, floor), dim=-1)
    slots = torch.arange(m, device=lists.device).view(m, 1).expand(b, m, 1)
    g = net.item_logits(state, seen, rows.expand(b, m, m), slots)  # one list, each of its slots
    allowed = request.cand_valid.unsqueeze(1)
    g = g.masked_fill(~allowed, floor)
    noisy = (g + draw.noise).masked_fill(~allowed, floor)
    blind = draw.noise if draw.prior is None else draw.noise + draw.prior.unsqueeze(1)
    blind = blind.masked_fill(~allowed, floor)
    items = torch.where(draw.blind.unsqueeze(-1), blind, noisy).argmax(dim=-1)
    return Choices(log_p, g, noisy, items)
