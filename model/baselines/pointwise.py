"""A pointwise net: p_click of a candidate for this user, blind to all other candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.ranker import NetDimensions, ScoringRanker
from model.baselines.shown_slot_losses import gather_shown, pointwise_loss
from model.baselines.token_blocks import CandidateEncoder, LogitMlp
from model.data.tables.batches import Batch
from model.nets.request_tensors import RequestTensors


class Pointwise(ScoringRanker):
    """The step before reranking, on our features: binary cross-entropy of clicks.

    No paper of its own. It does not know the slot either, so that order effects of the log are
    averaged into it, as in every ranker trained on clicks without a correction.
    """

    def __init__(self, size: NetDimensions) -> None:
        super().__init__()
        self.tokens = CandidateEncoder(size)
        self.score = LogitMlp(size.hidden_dim, size.hidden_dim)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        return self.score(self.tokens(request))

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean over shown slots."""
        return pointwise_loss(gather_shown(self.scores(batch.request), batch), batch)
