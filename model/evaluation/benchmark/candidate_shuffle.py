"""Shuffles the input order of candidates, to measure how much a method depends on it."""

from __future__ import annotations

import torch
from torch import Tensor

from model.contract.schema.declared import UPSTREAM_RANK
from model.contract.schema.fitted import FittedSchema
from model.nets.request_tensors import RequestTensors


class CandidateShuffle:
    """Permutes the valid candidates of each request; upstream rank fields keep their position."""

    def __init__(self, schema: FittedSchema, seed: int) -> None:
        self._rng = torch.Generator().manual_seed(seed)
        self._rank: list[int] = []  # columns of the upstream rank
        column = 0
        for field in schema.candidate_fields:
            if field.name == UPSTREAM_RANK:
                self._rank = list(range(column, column + field.width))
            column += field.width

    def __call__(self, request: RequestTensors) -> tuple[RequestTensors, Tensor]:
        """The shuffled request, and the original candidate index (B, N) of each position."""
        draw = torch.rand(request.cand_valid.shape, generator=self._rng)
        order = draw.masked_fill(~request.cand_valid, 2.0).argsort(dim=1)  # padding stays last
        moved = request.candidates.gather(
            1, order.unsqueeze(-1).expand(-1, -1, request.candidates.shape[-1])
        )
        if self._rank:
            moved[..., self._rank] = request.candidates[..., self._rank]
        return request._replace(candidates=moved), order
