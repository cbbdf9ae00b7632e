"""Seq2Slate: a pointer network trained with the clicks on shown items.

"Seq2Slate: Re-ranking and Slate Optimization with RNNs" (Bello et al., 2018, arXiv 1810.02019):

    p(k | chosen so far) = softmax over remaining items of v . tanh(W_e e_k + W_d d_j)
    loss = sum_j w_j CE(uniform over remaining clicked items; p_j),   w_j = 1 / log2(j + 1)

along the list that the current policy decodes greedily, as in the supervised training of the
paper. Departures: in training the policy points at shown items only, because others have no label;
the encoder reads all candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.pointer_network import PointerNetwork
from model.baselines.ranker import LearnedRanker, NetDimensions, noise_except_first_list
from model.baselines.shown_slot_losses import masked_log_softmax
from model.data.tables.batches import Batch
from model.nets.request_tensors import RequestTensors


class Seq2Slate(LearnedRanker):
    """Pointer network with a cross-entropy in each step."""

    def __init__(self, size: NetDimensions) -> None:
        super().__init__()
        self.pointer_net = PointerNetwork(size, bidirectional=False)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Cross-entropy of each step against the remaining clicked items, mean over lists."""
        request, (b, m) = batch.request, batch.shown.shape
        n = request.cand_valid.shape[1]
        slots = request.slot_valid.to(batch.clicks.dtype)
        shown = torch.zeros((b, n), device=slots.device).scatter_add(1, batch.shown, slots) > 0
        clicked = torch.zeros((b, n), device=slots.device).scatter_add(1, batch.shown, batch.clicks)
        noise = torch.zeros((b, 1, m, n), device=slots.device)
        made = self.pointer_net(request, shown, noise, slots=m)
        free = made.available.squeeze(1)  # (B, M, N)
        left = clicked.unsqueeze(1) * free
        target = left / left.sum(dim=-1, keepdim=True).clamp(min=1.0)
        cross = -(target * masked_log_softmax(made.logits.squeeze(1), free)).sum(dim=-1)  # (B, M)
        weight = 1.0 / torch.log2(torch.arange(2, m + 2, device=cross.device))
        return (cross * weight * slots).sum(dim=1).mean()

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`; further lists are sampled step by step."""
        (b, n), m = request.cand_valid.shape, request.slot_valid.shape[1]
        noise = noise_except_first_list((b, num_lists, m, n), rng, request.cand_valid.device)
        return self.pointer_net(request, request.cand_valid, noise, slots=m).lists
