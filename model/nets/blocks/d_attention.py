"""D-Attention: how the items of a list relate, one attention map a field (METHOD section 2).

A_f = softmax((X_f Wq_f)(X_f Wk_f)^T / sqrt(D));  A = mean_f A_f;  e_l = mean_j (A X_id Wv)_j
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.nets.blocks.layers import SlotMasks, masked_mean, masked_softmax
from model.nets.blocks.unique_history import gather_items

_LIST_CHUNK_SIZE = 250  # lists attended in one piece: it stays in the cache; no power of two, whose
# strides would fall on the same cache lines


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
        """Numbers that `project` gives for one item."""
        return (2 * self.fields + 1) * self.width

    def project(self, x: Tensor) -> Tensor:
        """(E?, ..., F, D) embedded items, field 0 the item id -> (E?, ..., size)."""
        query = _per_field(x, self.query, self.members)
        key = _per_field(x, self.key, self.members)
        value = _per_field(x[..., :1, :], self.value.unsqueeze(-3), self.members)
        return torch.cat([query, key, value], dim=-2).flatten(-2)

    def block_diagonal_projection(self) -> Tensor:
        """(E?, F * D, size): `project` as one matrix, zero between fields."""
        apart = torch.eye(self.fields, device=self.query.device)
        query, key = (
            torch.einsum("...fde,fg->...fdge", weight, apart).flatten(-2).flatten(-3, -2)
            for weight in (self.query, self.key)
        )
        below = (self.fields - 1) * self.width
        return torch.cat([query, key, functional.pad(self.value, (0, 0, 0, below))], dim=-1)

    def scaled_query_key(self, x: Tensor) -> Tensor:
        """(E?, F, R, D) embedded items, fields first -> (E?, F, R, 2D): scaled queries and keys."""
        both = torch.cat([self.query / math.sqrt(self.width), self.key], dim=-1)
        return x @ both

    @staticmethod
    def value_weights(query: Tensor, key: Tensor, masks: SlotMasks) -> Tensor:
        """How much of each slot's value is in the list embedding, fields first.

        Args:
            query, key: (..., F, B, L, M, D), of the items by slot, queries scaled.
            masks: of the slots, (B, 1, M).

        Returns:
            (..., B, L, 1, M); its product with the values (..., M, D) is F times e_l: dividing by
            F is applied where the value weights are kept, which costs nothing.
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
        """Embed many lists of few items: `embed_lists` with the lists along the innermost axis.

        Maps of a few slots are too small for matrix products; along the lists every operation is
        wide. Several times cheaper in a training batch, and the same numbers.

        Args:
            projected: (E?, U, size), projections of the different items.
            place: (R, M) int64, which item stands in a slot.
            valid: (R, M) bool.

        Returns:
            e_l (E?, R, D); zeros for a list without any item.
        """
        lead = 1 if self.members is None else self.members
        wide = (
            projected.reshape(lead, -1, self.projection_width).movedim(0, 1).flatten(1)
        )  # (U, E * size)
        parts = [
            self._attend(gather_items(wide, places).flatten(1).t().contiguous(), there.t())
            for places, there in zip(
                item_index.split(_LIST_CHUNK_SIZE), valid.split(_LIST_CHUNK_SIZE), strict=True
            )
        ]
        lists = torch.cat(parts, dim=-1).transpose(-1, -2)  # (E, R, D)
        return lists.squeeze(0) if self.members is None else lists

    def _attend(self, looked: Tensor, valid: Tensor) -> Tensor:
        """(M * E * size, R) projections by slot and (M, R) bool -> e_l (E, D, R)."""
        f, d = self.fields, self.width
        m, r = valid.shape
        split = looked.view(m, -1, 2 * f + 1, d, r)
        query, key, value = split.split((f, f, 1), dim=2)  # (M, E, F or 1, D, R)
        there = valid.to(looked.dtype)
        floor = (~valid * torch.finfo(looked.dtype).min).view(m, 1, 1, r)
        share = there / (there.sum(dim=0).clamp(min=1.0) * f)  # (M, R) of a slot in the mean
        weight = looked.new_zeros(())
        for slot, one in enumerate((query / math.sqrt(d)).unbind(0)):
            logits = (one * key).sum(dim=-2) + floor  # (M, E, F, R)
            weight = weight + torch.softmax(logits, dim=0) * share[slot]
        seen = weight.sum(dim=2) * there.unsqueeze(1)  # (M, E, R)
        return (seen.unsqueeze(2) * value.squeeze(2)).sum(dim=0)


def _per_field(x: Tensor, weight: Tensor, members: int | None) -> Tensor:
    """Multiply each field by its own matrix: (E?, ..., F, D) x (E?, F, D, D')."""
    if members is None:
        flat = x.reshape(-1, *x.shape[-2:]).transpose(0, 1)  # (F, rows, D)
        return (flat @ weight).transpose(0, 1).reshape(*x.shape[:-1], weight.shape[-1])
    flat = x.reshape(members, -1, *x.shape[-2:]).transpose(1, 2)  # (E, F, rows, D)
    return (flat @ weight).transpose(1, 2).reshape(*x.shape[:-1], weight.shape[-1])
