"""DLCM: a GRU reads the input list from last to first, then each item is scored.

"Learning a Deep Listwise Context Model for Ranking Refinement" (Ai et al., SIGIR 2018,
arXiv 1804.05936):

    o_N .. o_1, s = GRU(x_N .. x_1)                 from the last position to the first
    phi_i = v . (o_i * tanh(W s + b))               elementwise product
    loss  = attention rank loss: cross-entropy of softmax(phi) against the labels' attention

Departure: the GRU reads all N candidates; the loss uses the shown ones, which have labels.
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
    """Listwise scorer with a GRU as context model."""

    def __init__(self, size: NetDimensions) -> None:
        super().__init__()
        self.tokens = CandidateEncoder(size)
        self.gru = nn.GRU(size.hidden_dim, size.hidden_dim, batch_first=True)
        self.context_projection = Dense(size.hidden_dim, size.hidden_dim)
        self.out = Dense(size.hidden_dim, 1, bias=False)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        reversal = _reversed_indices(request.cand_valid).unsqueeze(-1)  # (B, N, 1)
        tokens = self.tokens(request)
        encoded, _ = self.gru(tokens.gather(1, reversal.expand_as(tokens)))
        last = (request.cand_valid.sum(dim=1) - 1).clamp(min=0)
        summary = encoded[torch.arange(len(last), device=last.device), last]  # (B, hidden)
        outputs = encoded.gather(1, reversal.expand_as(encoded))  # reversed back
        return self.out(
            outputs * torch.tanh(self.context_projection(summary)).unsqueeze(1)
        ).squeeze(-1)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Attention rank loss over the shown slots."""
        return attention_rank_loss(gather_shown(self.scores(batch.request), batch), batch)


def _reversed_indices(valid: Tensor) -> Tensor:
    """(B, N) indices that reverse the valid candidates and leave padding last."""
    count = valid.sum(dim=1, keepdim=True)
    place = torch.arange(valid.shape[1], device=valid.device).expand(valid.shape)
    return torch.where(place < count, count - 1 - place, place)
