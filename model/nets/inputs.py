"""What both nets see of a batch of requests. Labels are not among it, on purpose."""

from __future__ import annotations

from typing import NamedTuple

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
