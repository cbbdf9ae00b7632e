"""Losses over shown slots of logged lists. Items that were not shown have no label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from model.data.tables.batches import Batch


def gather_shown(scores: Tensor, batch: Batch) -> Tensor:
    """(B, N) values of candidates -> (B, M) values of the items in the slots."""
    return scores.gather(1, batch.shown)


def pointwise_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy of clicks, mean over shown slots; logits (B, M) by slot."""
    valid = batch.request.slot_valid
    each = functional.binary_cross_entropy_with_logits(logits, batch.clicks, reduction="none")
    return (each * valid).sum() / valid.sum().clamp(min=1)


def softmax_loss(logits: Tensor, batch: Batch) -> Tensor:
    """- sum_j y_j log softmax(s)_j over the shown slots, mean over lists with a click."""
    log_p = masked_log_softmax(logits, batch.request.slot_valid)
    return _mean_over_clicked_lists(-(batch.clicks * log_p).sum(dim=1), batch)


def attention_rank_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy between attention by label and attention by score (DLCM, SetRank).

    With labels 0 and 1 the attention by label is spread evenly over the clicked items.
    """
    share = batch.clicks / batch.clicks.sum(dim=1, keepdim=True).clamp(min=1.0)
    log_p = masked_log_softmax(logits, batch.request.slot_valid)
    return _mean_over_clicked_lists(-(share * log_p).sum(dim=1), batch)


def masked_log_softmax(logits: Tensor, valid: Tensor) -> Tensor:
    """Log-softmax over the last axis among valid entries, 0 in the others."""
    floor = torch.finfo(logits.dtype).min
    log_p = torch.log_softmax(logits.masked_fill(~valid, floor), dim=-1)
    return log_p.masked_fill(~valid, 0.0)


def _mean_over_clicked_lists(each: Tensor, batch: Batch) -> Tensor:
    has = (batch.clicks.sum(dim=1) > 0).to(each.dtype)
    return (each * has).sum() / has.sum().clamp(min=1.0)
