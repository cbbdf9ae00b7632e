"""PRM: a transformer over the candidates in upstream order.

"Personalized Re-ranking for Recommendation" (Pei et al., RecSys 2019, arXiv 1904.06813):

    E_i  = W [x_i | pv_i] + pe_i                    pe_i: learned embedding of the input position
    F    = Transformer blocks over E_1 .. E_N
    P(y_i | X, PV) = softmax_i(w F_i)               loss = - sum_i y_i log P(y_i | X, PV)

Departures: pv is the shared user encoder, trained jointly (the paper uses a pretrained click
model). The net reads all N candidates; the softmax of the loss runs over the shown ones, which
have labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.baselines.ranker import NetDimensions, ScoringRanker
from model.baselines.shown_slot_losses import gather_shown, softmax_loss
from model.baselines.token_blocks import CandidateEncoder, TransformerBlock
from model.data.tables.batches import Batch
from model.nets.blocks.layers import Dense
from model.nets.request_tensors import RequestTensors


class Prm(ScoringRanker):
    """Transformer over the input list."""

    def __init__(self, size: NetDimensions, num_blocks: int = 2) -> None:
        super().__init__()
        self.tokens = CandidateEncoder(size)
        self.position_embedding = nn.Parameter(
            torch.randn(size.max_candidates, size.hidden_dim) * 0.05
        )
        self.blocks = nn.ModuleList(TransformerBlock(size.hidden_dim) for _ in range(num_blocks))
        self.out = Dense(size.hidden_dim, 1, bias=False)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        x = self.tokens(request)
        x = x + self.position_embedding[: x.shape[1]]
        for block in self.blocks:
            x = block(x, request.cand_valid)
        return self.out(x).squeeze(-1)

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Softmax cross-entropy of clicks over shown slots."""
        return softmax_loss(gather_shown(self.scores(batch.request), batch), batch)
