"""Decisions of the generator for all slots of a list at once (training only).

Serving edits one slot at a time: `list_editing.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model.nets.generators.abstract_generator import Generator, GeneratorState
from model.nets.request_tensors import RequestTensors


class SlotChoices(NamedTuple):
    """Policy and sampled replacement of every slot of a batch of lists.

    slot_log_probs: (B, M) float, log probability of editing slot j, without noise.
    item_logits: (B, M, N) float, CRU logits; padded candidates at the dtype's minimum.
    noisy_item_logits: (B, M, N) float, the same with noise.
    replacements: (B, M) int64, the candidate sampled for slot j.
    """

    slot_log_probs: Tensor
    item_logits: Tensor
    noisy_item_logits: Tensor
    replacements: Tensor


class SamplingNoise(NamedTuple):
    """Noise and prior by which the replacement of every slot is sampled.

    noise: (B, M, N) float, scaled; argmax(item_logits + noise) is a sample of the CRU.
    ignores_policy: (B, M) bool, slots that take argmax(prior_log_weights + noise) instead.
    prior_log_weights: (B, N) float, log weights of the candidates in those slots; None: uniform.
    """

    noise: Tensor
    ignores_policy: Tensor
    prior_log_weights: Tensor | None = None


def gumbel_noise(size: tuple[int, ...], rng: torch.Generator, device: torch.device) -> Tensor:
    """Standard Gumbel noise, drawn on the CPU: a seed gives the same noise on any device."""
    uniform = torch.rand(size, generator=rng).clamp(1e-7, 1.0 - 1e-7)
    return (-torch.log(-torch.log(uniform))).to(device)


def sample_replacements(
    net: Generator,
    state: GeneratorState,
    request: RequestTensors,
    lists: Tensor,
    noise: SamplingNoise,
) -> SlotChoices:
    """Run PDU and CRU for each slot of each list at once.

    Args:
        net, state, request: the generator and the encoded batch.
        lists: (B, M) int.
        noise: noise of the samples, and slots that ignore the CRU.
    """
    b, m = lists.shape
    rows = lists.unsqueeze(1) + state.row_offset  # (B, 1, M)
    list_encoding = net.encode_lists(state, rows)
    h = net.slot_logits(state, list_encoding).squeeze(1)
    lowest = torch.finfo(h.dtype).min
    log_p = torch.log_softmax(h.masked_fill(~request.slot_valid, lowest), dim=-1)
    slots = torch.arange(m, device=lists.device).view(m, 1).expand(b, m, 1)
    every_slot = rows.expand(b, m, m)  # the same list once for each of its slots
    g = net.item_logits(state, list_encoding, every_slot, slots)
    allowed = request.cand_valid.unsqueeze(1)
    g = g.masked_fill(~allowed, lowest)
    noisy = (g + noise.noise).masked_fill(~allowed, lowest)
    prior = (
        noise.noise
        if noise.prior_log_weights is None
        else noise.noise + noise.prior_log_weights.unsqueeze(1)
    )
    prior = prior.masked_fill(~allowed, lowest)
    items = torch.where(noise.ignores_policy.unsqueeze(-1), prior, noisy).argmax(dim=-1)
    return SlotChoices(log_p, g, noisy, items)
