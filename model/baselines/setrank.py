"""SetRank: scores a set of candidates independently of their order.

"SetRank: Learning a Permutation-Invariant Ranking Model for Information Retrieval" (Pang et al.,
SIGIR 2020, arXiv 1912.05891):

    MAB(Q, K)  = multi-head attention of Q to K, residual, row-wise layers
    IMSAB(X)   = MAB(X, MAB(I, X))                  I: learned inducing points, linear in N
    s_i        = rFF(X_i)                           loss = attention rank loss

This is the variant with induced blocks and without ordinal embeddings of the input order (the
`upstream_rank` field of the log remains an input, as for every method). Departure: the loss uses
the shown candidates, which have labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.baselines.ranker import NetDimensions, ScoringRanker
from model.baselines.shown_slot_losses import attention_rank_loss, gather_shown
from model.baselines.token_blocks import CandidateEncoder, LogitMlp, TransformerBlock
from model.data.tables.batches import Batch
from model.nets.request_tensors import RequestTensors


class InducedAttentionBlock(nn.Module):
    """Attention of candidates to learned inducing points that attend to the candidates."""

    def __init__(self, hidden: int, num_points: int) -> None:
        super().__init__()
        self.inducing_points = nn.Parameter(torch.randn(num_points, hidden) * 0.5)
        self.to_points = TransformerBlock(hidden)
        self.from_points = TransformerBlock(hidden)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, N, hidden) candidates and their mask (B, N) -> (B, N, hidden)."""
        points = self.inducing_points.expand(len(x), -1, -1)
        seen = self.to_points(points, valid, x)
        every = torch.ones(seen.shape[:2], dtype=torch.bool, device=x.device)
        return self.from_points(x, every, seen)


class SetRank(ScoringRanker):
    """Induced self-attention blocks over an unordered set."""

    def __init__(self, size: NetDimensions, num_blocks: int = 2, num_points: int = 8) -> None:
        super().__init__()
        self.tokens = CandidateEncoder(size)
        self.blocks = nn.ModuleList(
            InducedAttentionBlock(size.hidden_dim, num_points) for _ in range(num_blocks)
        )
        self.score = LogitMlp(size.hidden_dim, size.hidden_dim)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        x = self.tokens(request)
        for block in self.blocks:
            x = block(x, request.cand_valid)
        return self.score(x)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Attention rank loss over the shown slots."""
        return attention_rank_loss(gather_shown(self.scores(batch.request), batch), batch)
