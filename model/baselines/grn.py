"""GRN: a pointer network trained by policy gradient with the rewards of the evaluator.

"GRN: Generative Rerank Network for Context-wise Recommendation" (Feng et al., 2021,
arXiv 2104.00860):

    E    = bidirectional LSTM and self-attention over the candidates; a decoder points at items
    r_j  = self reward + differential reward
         = reward_j(L) + sum_{i != j} (reward_i(L) - reward_i(L without j))
    loss = - sum_j r_j log p_j                      for lists sampled from the policy

Departures: the evaluator is the one that trains the Relist generator (the paper trains another
architecture); the batch mean of r_j is subtracted as a baseline that lowers the variance of the
gradient; both rewards have the same weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.frozen_evaluator import FrozenEvaluator
from model.baselines.pointer_network import PointerNetwork, PointerOutput
from model.baselines.ranker import (
    LearnedRanker,
    NetDimensions,
    noise_except_first_list,
    standard_gumbel,
)
from model.baselines.shown_slot_losses import masked_log_softmax
from model.data.tables.batches import Batch
from model.nets.request_tensors import RequestTensors


class Grn(LearnedRanker):
    """Pointer network with policy gradients."""

    def __init__(self, size: NetDimensions, evaluator: FrozenEvaluator) -> None:
        super().__init__()
        self.pointer_net = PointerNetwork(size, bidirectional=True)
        self.evaluator = evaluator

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Policy gradient of one sampled list a request."""
        request = batch.request
        (b, n), m = request.cand_valid.shape, request.slot_valid.shape[1]
        written = self._write_lists(
            request, standard_gumbel((b, 1, m, n), rng).to(request.cand_valid.device)
        )
        lists = written.lists[:, 0]
        reward = self.evaluator.marginal_rewards(request, lists)
        valid = request.slot_valid
        mean = (reward * valid).sum(dim=0) / valid.sum(dim=0).clamp(min=1)
        log_p = (
            masked_log_softmax(written.logits, written.available)[:, 0]
            .gather(2, lists.unsqueeze(-1))
            .squeeze(-1)
        )
        return -((reward - mean) * log_p * valid).sum(dim=1).mean()

    @torch.no_grad()
    def validation_loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Minus the mean reward of list 0, which unlike the loss is comparable between epochs."""
        lists = self.propose(batch.request, 1, rng)
        return -self.evaluator.mean_rewards(batch.request, lists).mean()

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`; further lists are sampled step by step."""
        (b, n), m = request.cand_valid.shape, request.slot_valid.shape[1]
        noise = noise_except_first_list((b, num_lists, m, n), rng, request.cand_valid.device)
        return self._write_lists(request, noise).lists

    def _write_lists(self, request: RequestTensors, noise: Tensor) -> PointerOutput:
        return self.pointer_net(request, request.cand_valid, noise, slots=noise.shape[2])
