"""Pointwise scorer: click probability of a candidate, independent of other candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from model.baselines.ranker import NetDimensions, ScoringRanker
from model.baselines.shown_slot_losses import gather_shown, pointwise_loss
from model.baselines.token_blocks import CandidateEncoder, LogitMlp
from model.data.tables.batches import Batch
from model.nets.request_tensors import RequestTensors


class Pointwise(ScoringRanker):
    """Network trained with the binary cross-entropy of clicks. No paper.

    It has no slot input, so the position bias of the log is not corrected.
    """

    def __init__(self, size: NetDimensions) -> None:
        super().__init__()
        self.tokens = CandidateEncoder(size)
        self.score = LogitMlp(size.hidden_dim, size.hidden_dim)

    def scores(self, request: RequestTensors) -> Tensor:
        """See `ScoringRanker.scores`."""
        return self.score(self.tokens(request))

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean binary cross-entropy over shown slots."""
        return pointwise_loss(gather_shown(self.scores(batch.request), batch), batch)
