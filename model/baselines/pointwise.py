"""A pointwise net: p_click of a candidate for this user, blind to all other candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.list_losses import of_shown, pointwise_loss
from model.baselines.ranker import NetSize, ScoringRanker
from model.baselines.tokens import CandidateTokens, ToLogit
from model.data.batches import Batch
from model.nets.inputs import RequestTensors


class Pointwise(ScoringRanker):
    """The step before reranking, on our features: binary cross-entropy of clicks.

    No paper of its own. It does not know the slot either, so that order effects of the log are
    averaged into it, as in every ranker trained on clicks without a correction.
    """

    def __init__(self, size: NetSize) -> None:
        super().__init__()
        self.tokens = CandidateTokens(size)
        self.score = ToLogit(size.hidden, size.hidden)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        return self.score(self.tokens(request))

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean over shown slots."""
        return pointwise_loss(of_shown(self.scores(batch.request), batch), batch)
