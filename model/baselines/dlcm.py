"""DLCM: a recurrent net reads the incoming list from its end to its top, then scores each item.

"Learning a Deep Listwise Context Model for Ranking Refinement" (Ai et al., SIGIR 2018,
arXiv 1804.05936):

    o_N .. o_1, s = GRU(x_N .. x_1)                 from the last place to the first
    phi_i = v . (o_i * tanh(W s + b))               * by element
    loss  = attention rank loss: cross-entropy of softmax(phi) against the labels' attention

Departure: all N candidates are read, and the loss runs over the shown ones, which have labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.baselines.ranker import NetDimensions, ScoringRanker
from model.baselines.shown_slot_losses import attention_rank_loss, gather_shown
from model.baselines.token_blocks import CandidateEncoder
from model.data.tables.batches import Batch
from model.nets.blocks.layers import Dense
from model.nets.request_tensors import RequestTensors


class Dlcm(ScoringRanker):
    """Local context by a GRU."""

    def __init__(self, size: NetDimensions) -> None:
        super().__init__()
        self.tokens = CandidateEncoder(size)
        self.gru = nn.GRU(size.hidden_dim, size.hidden_dim, batch_first=True)
        self.context_projection = Dense(size.hidden_dim, size.hidden_dim)
        self.out = Dense(size.hidden_dim, 1, bias=False)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        back = _reversed_indices(request.cand_valid).unsqueeze(-1)  # (B, N, 1)
        tokens = self.tokens(request)
        read, _ = self.gru(tokens.gather(1, back.expand_as(tokens)))
        last = (request.cand_valid.sum(dim=1) - 1).clamp(min=0)
        summary = read[torch.arange(len(last), device=last.device), last]  # (B, hidden)
        own = read.gather(1, back.expand_as(read))  # turning twice restores the places
        return self.out(own * torch.tanh(self.context_projection(summary)).unsqueeze(1)).squeeze(-1)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Attention rank loss over the shown slots."""
        return attention_rank_loss(gather_shown(self.scores(batch.request), batch), batch)


def _reversed_indices(valid: Tensor) -> Tensor:
    """(B, N) places that turn the valid ones around and leave padding at the end."""
    count = valid.sum(dim=1, keepdim=True)
    place = torch.arange(valid.shape[1], device=valid.device).expand(valid.shape)
    return torch.where(place < count, count - 1 - place, place)
