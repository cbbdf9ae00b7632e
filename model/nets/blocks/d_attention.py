"""D-Attention: list embedding by attention among the items of a list, one map per field.

Source: docs/explanation/method.md#published-evaluator.

A_f = softmax((X_f Wq_f)(X_f Wk_f)^T / sqrt(D));  A = mean_f A_f;  e_l = mean_j (A X_id Wv)_j
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.blocks.layers import SlotMasks, masked_mean, masked_softmax
from model.nets.blocks.unique_history import gather_items

# Lists per block of `embed_indexed_lists`. A block stays in the CPU cache. Not a power of two,
# because such strides map to the same cache lines.
_LIST_CHUNK_SIZE = 250


class DAttention(nn.Module):
    """Projections of one item, and the list embedding made from the projections of its slots.

    The projections are linear in the item's embedding and independent of the list, so they are
    computed once for a candidate and gathered for every list (`project`, then `embed_lists`).
    """

    def __init__(self, fields: int, width: int, *, members: int | None = None) -> None:
        super().__init__()
        lead = () if members is None else (members,)
        bound = 1.0 / math.sqrt(width)
        self.query = nn.Parameter(torch.empty(*lead, fields, width, width).uniform_(-bound, bound))
        self.key = nn.Parameter(torch.empty(*lead, fields, width, width).uniform_(-bound, bound))
        self.value = nn.Parameter(torch.empty(*lead, width, width).uniform_(-bound, bound))
        self.fields, self.width, self.members = fields, width, members

    @property
    def projection_width(self) -> int:
        """Width of the projection of one item."""
        return (2 * self.fields + 1) * self.width

    def project(self, x: Tensor) -> Tensor:
        """Project embedded items (E?, ..., F, D), field 0 the item id, to (E?, ..., size)."""
        query = _per_field(x, self.query, self.members)
        key = _per_field(x, self.key, self.members)
        value = _per_field(x[..., :1, :], self.value.unsqueeze(-3), self.members)
        return torch.cat([query, key, value], dim=-2).flatten(-2)

    def block_diagonal_projection(self) -> Tensor:
        """`project` as one matrix (E?, F * D, size), zero between fields."""
        identity = torch.eye(self.fields, device=self.query.device)
        query, key = (
            torch.einsum("...fde,fg->...fdge", weight, identity).flatten(-2).flatten(-3, -2)
            for weight in (self.query, self.key)
        )
        below = (self.fields - 1) * self.width
        return torch.cat([query, key, functional.pad(self.value, (0, 0, 0, below))], dim=-1)

    def scaled_query_key(self, x: Tensor) -> Tensor:
        """Scaled queries and keys (E?, F, R, 2D) of embedded items (E?, F, R, D), fields first."""
        both = torch.cat([self.query / math.sqrt(self.width), self.key], dim=-1)
        return x @ both

    @staticmethod
    def value_weights(query: Tensor, key: Tensor, masks: SlotMasks) -> Tensor:
        """Weight of each slot's value in the list embedding, fields first.

        Args:
            query, key: (..., F, B, L, M, D), by slot; queries are scaled.
            masks: masks of the slots, (B, 1, M).

        Returns:
            (..., B, L, 1, M). The product with the values (..., M, D) is F times e_l. The caller
            divides the value weights by F once, which adds no graph node.
        """
        logits = query @ key.transpose(-1, -2) + masks.logit_bias
        return masks.mean_weight @ torch.softmax(logits, dim=-1).sum(dim=-5)

    def embed_lists(self, projected: Tensor, valid: Tensor) -> Tensor:
        """Embed lists.

        Args:
            projected: (..., M, size), projections of the items by slot.
            valid: (..., M) bool; may lack leading axes that broadcast.

        Returns:
            e_l (..., D); zeros for a list without any item.
        """
        f, d = self.fields, self.width
        split = projected.reshape(*projected.shape[:-1], 2 * f + 1, d)
        split = split.transpose(-2, -3)  # (..., 2F+1, M, D)
        query, key = split[..., :f, :, :], split[..., f : 2 * f, :, :]
        logits = query @ key.transpose(-1, -2) / math.sqrt(d)  # (..., F, M, M)
        maps = masked_softmax(logits, valid[..., None, None, :])
        attention = maps.mean(dim=-3)  # (..., M, M)
        return masked_mean(attention @ split[..., 2 * f, :, :], valid)

    def embed_indexed_lists(self, projected: Tensor, item_index: Tensor, valid: Tensor) -> Tensor:
        """`embed_lists` for many lists of few items, with the lists along the innermost axis.

        Attention maps of a few slots are too small for matrix products, but operations along the
        lists are wide. The result is the same at a fraction of the time in a training batch.

        Args:
            projected: (E?, U, size), projections of the unique items.
            item_index: (R, M) int64, index of the item in each slot.
            valid: (R, M) bool.

        Returns:
            e_l (E?, R, D); zeros for a list without any item.
        """
        lead = 1 if self.members is None else self.members
        wide = (
            projected.reshape(lead, -1, self.projection_width).movedim(0, 1).flatten(1)
        )  # (U, E * size)
        parts = [
            self._attend(gather_items(wide, index).flatten(1).t().contiguous(), chunk_valid.t())
            for index, chunk_valid in zip(
                item_index.split(_LIST_CHUNK_SIZE), valid.split(_LIST_CHUNK_SIZE), strict=True
            )
        ]
        lists = torch.cat(parts, dim=-1).transpose(-1, -2)  # (E, R, D)
        return lists.squeeze(0) if self.members is None else lists

    def _attend(self, projected: Tensor, valid: Tensor) -> Tensor:
        """e_l (E, D, R) from projections by slot (M * E * size, R) and `valid` (M, R)."""
        f, d = self.fields, self.width
        m, r = valid.shape
        split = projected.view(m, -1, 2 * f + 1, d, r)
        query, key, value = split.split((f, f, 1), dim=2)  # (M, E, F or 1, D, R)
        real = valid.to(projected.dtype)
        logit_bias = (~valid * torch.finfo(projected.dtype).min).view(m, 1, 1, r)
        mean_weight = real / (real.sum(dim=0).clamp(min=1.0) * f)  # (M, R) of a slot in the mean
        weight = projected.new_zeros(())
        for slot, slot_query in enumerate((query / math.sqrt(d)).unbind(0)):
            logits = (slot_query * key).sum(dim=-2) + logit_bias  # (M, E, F, R)
            weight = weight + torch.softmax(logits, dim=0) * mean_weight[slot]
        value_weight = weight.sum(dim=2) * real.unsqueeze(1)  # (M, E, R)
        return (value_weight.unsqueeze(2) * value.squeeze(2)).sum(dim=0)


def _per_field(x: Tensor, weight: Tensor, members: int | None) -> Tensor:
    """Multiply each field by its own matrix: (E?, ..., F, D) x (E?, F, D, D')."""
    if members is None:
        flat = x.reshape(-1, *x.shape[-2:]).transpose(0, 1)  # (F, rows, D)
        return (flat @ weight).transpose(0, 1).reshape(*x.shape[:-1], weight.shape[-1])
    flat = x.reshape(members, -1, *x.shape[-2:]).transpose(1, 2)  # (E, F, rows, D)
    return (flat @ weight).transpose(1, 2).reshape(*x.shape[:-1], weight.shape[-1])
