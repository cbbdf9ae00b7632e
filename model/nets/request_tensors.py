"""Inputs of all nets for a batch of requests. Labels are not among them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RequestTensors(NamedTuple):
    """A batch of encoded requests; integers are rows of the embedding table (0 is padding).

    candidates: (B, N, Fc) int32, item- and candidate-scope columns.
    cand_valid: (B, N) bool, True for a real candidate.
    slot_valid: (B, M) bool, True for a slot that the list has.
    user: (B, Fu) int32, user and context columns.
    sessions: (B, H, M, Fs) int32, item-scope columns plus clicked and converted, newest first.
    sess_valid: (B, H, M) bool, True for a slot of a past list that held an item.
    """

    candidates: Tensor
    cand_valid: Tensor
    slot_valid: Tensor
    user: Tensor
    sessions: Tensor
    sess_valid: Tensor


def restrict_to_shown(request: RequestTensors, shown: Tensor) -> tuple[RequestTensors, Tensor]:
    """Keep only the candidates of one list, for training on shown lists.

    Args:
        request: the batch.
        shown: (B, M) int64, candidate indices.

    Returns:
        The request with M candidates, and the list (B, 1, M) as indices into those.
    """
    index = shown.unsqueeze(-1).expand(-1, -1, request.candidates.shape[-1])
    narrowed = request._replace(
        candidates=request.candidates.gather(1, index), cand_valid=request.slot_valid
    )
    index_list = torch.arange(shown.shape[1], device=shown.device).expand(shown.shape)
    return narrowed, index_list.unsqueeze(1)


def input_list(request: RequestTensors) -> Tensor:
    """Input list (B, M) int64: the first candidates in upstream order; 0 in padded slots."""
    slots = request.slot_valid
    index_list = torch.arange(slots.shape[1], device=slots.device).expand(slots.shape)
    return index_list.masked_fill(~slots, 0)
