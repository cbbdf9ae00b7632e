"""The embedding table: encoded columns -> one vector a field. No feature name is known here."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.contract.schema.fitted import PADDING_INDEX
from model.nets.field_layout import ColumnSpan

ColumnSpans = tuple[ColumnSpan, ...]  # (first column, width) of each field; they follow each other


class FieldEmbedding(nn.Module):
    """One table for all fields, shared by all readers of the same kind of rows.

    A padding row gives the zero vector, and no gradient reaches it: the mask is taken from the
    rows themselves.
    """

    def __init__(
        self,
        num_embeddings: int,
        width: int,
        *,
        members: int | None = None,
        init_scale: float = 0.05,
    ) -> None:
        super().__init__()
        self.width, self.members = width, members
        self.weight = nn.Parameter(torch.randn(num_embeddings, width * (members or 1)) * init_scale)

    def forward(self, rows: Tensor, spans: ColumnSpans) -> Tensor:
        """Look fields up; a multi-valued field is the mean of its values.

        Args:
            rows: (..., C) int, columns of rows.
            spans: which columns belong to a field.

        Returns:
            (..., F, D), or (E, ..., F, D) with members.
        """
        if torch.compiler.is_compiling():
            x = self.forward_for_export(rows, spans).transpose(1, 2).unflatten(1, rows.shape[:-1])
            return x if self.members is not None else x.squeeze(0)
        return self.split_members(
            pool_fields(self.weighted_columns(rows, pooling_weights(rows, spans)), spans)
        )

    def weighted_columns(self, rows: Tensor, pooling_weight: Tensor) -> Tensor:
        """(..., C, E * D): what each column adds to its field's mean; share from `shares`."""
        return functional.embedding(rows, self.weight) * pooling_weight.unsqueeze(-1)

    def forward_for_export(self, rows: Tensor, spans: ColumnSpans) -> Tensor:
        """(..., C) -> (E, F, R, D), R all rows of columns: see `pooled_embedding_for_export`."""
        means = pooled_embedding_for_export(self.weight, rows, spans)
        return means.unflatten(-1, (self.members or 1, self.width)).movedim(-2, 0)

    def split_members(self, stacked: Tensor) -> Tensor:
        """(..., E * D) -> (E, ..., D); as it is without members."""
        if self.members is None:
            return stacked
        return stacked.unflatten(-1, (self.members, self.width)).movedim(-2, 0)


def pooled_embedding_for_export(weight: Tensor, rows: Tensor, spans: ColumnSpans) -> Tensor:
    """(..., C) rows of a table (.., Z) -> (F, R, Z): means of fields by the fewest nodes.

    The padding row is zero in the table itself, a column of ones in it counts values, and fields
    come first, so that a mean is one wide product: a sixth of the time of many small. Every look-up
    takes this same table, which a graph therefore holds once.
    """
    there = torch.arange(weight.shape[0], device=weight.device) != PADDING_INDEX
    counted = torch.cat([weight, torch.ones_like(weight[:, :1])], dim=1) * there.unsqueeze(1)
    looked = functional.embedding(rows.flatten(0, -2).t(), counted)  # (C, R, Z + 1)
    if all(width == 1 for _, width in spans):
        return looked[..., :-1]
    owner = [field for field, (_, width) in enumerate(spans) for _ in range(width)]
    pool = torch.eye(len(spans), device=rows.device)[:, owner]  # (F, C)
    total = (pool @ looked.flatten(1)).unflatten(1, (-1, counted.shape[1]))
    summed, values = total.split((weight.shape[1], 1), dim=-1)
    return summed / values.clamp(min=1.0)


def pooling_weights(rows: Tensor, spans: ColumnSpans) -> Tensor:
    """(..., C) float: 1 / values of the column's field, 0 in padding."""
    there = (rows != PADDING_INDEX).to(torch.float32)
    return _by_field(
        there, spans, lambda several: several / several.sum(dim=-1, keepdim=True).clamp(min=1.0)
    )


def pool_fields(columns: Tensor, spans: ColumnSpans) -> Tensor:
    """Sum (..., C, Z) over the columns of each field: (..., F, Z)."""
    return _by_field(columns, spans, lambda several: several.sum(dim=-2, keepdim=True), axis=-2)


def _by_field(
    x: Tensor, spans: ColumnSpans, several: Callable[[Tensor], Tensor], axis: int = -1
) -> Tensor:
    """Apply a function to the columns of each multi-valued field; the others stay as they are."""
    if all(width == 1 for _, width in spans):
        return x
    parts = []
    for wide, run in groupby(spans, key=lambda span: span[1] > 1):
        fields = list(run)
        if wide:
            parts += [several(x.narrow(axis, at, width)) for at, width in fields]
        else:
            parts.append(x.narrow(axis, fields[0][0], len(fields)))
    return torch.cat(parts, dim=axis)
