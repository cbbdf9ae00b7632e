"""The embedding table: one vector per field from encoded columns, without feature names."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.contract.schema.fitted import PADDING_INDEX
from model.nets.field_layout import ColumnSpan

ColumnSpans = tuple[ColumnSpan, ...]  # (first column, width) of each field, contiguous


class FieldEmbedding(nn.Module):
    """One embedding table for all fields.

    A padding row gives the zero vector and gets no gradient: the mask is derived from the rows.
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
        """Embed fields; a multi-valued field is the mean of its values.

        Args:
            rows: (..., C) int, rows of the table by column.
            spans: columns of each field.

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
        """Embeddings (..., C, E * D) times `pooling_weights`: each column's part of a mean."""
        return functional.embedding(rows, self.weight) * pooling_weight.unsqueeze(-1)

    def forward_for_export(self, rows: Tensor, spans: ColumnSpans) -> Tensor:
        """Embed (..., C) as (E, F, R, D), R rows in all; see `pooled_embedding_for_export`."""
        means = pooled_embedding_for_export(self.weight, rows, spans)
        return means.unflatten(-1, (self.members or 1, self.width)).movedim(-2, 0)

    def split_members(self, stacked: Tensor) -> Tensor:
        """Reshape (..., E * D) to (E, ..., D); unchanged without members."""
        if self.members is None:
            return stacked
        return stacked.unflatten(-1, (self.members, self.width)).movedim(-2, 0)


def pooled_embedding_for_export(weight: Tensor, rows: Tensor, spans: ColumnSpans) -> Tensor:
    """Field means (F, R, Z) of rows (..., C) of a table (.., Z), with few graph nodes.

    The padding row of the table is zero and an added column of ones counts values. Fields are the
    first axis, so that a mean is one wide product, in a sixth of the time of many small ones. All
    look-ups use the same table, which the graph therefore stores once.
    """
    is_real = torch.arange(weight.shape[0], device=weight.device) != PADDING_INDEX
    counted = torch.cat([weight, torch.ones_like(weight[:, :1])], dim=1) * is_real.unsqueeze(1)
    embedded = functional.embedding(rows.flatten(0, -2).t(), counted)  # (C, R, Z + 1)
    if all(width == 1 for _, width in spans):
        return embedded[..., :-1]
    owner = [field for field, (_, width) in enumerate(spans) for _ in range(width)]
    pool = torch.eye(len(spans), device=rows.device)[:, owner]  # (F, C)
    total = (pool @ embedded.flatten(1)).unflatten(1, (-1, counted.shape[1]))
    summed, values = total.split((weight.shape[1], 1), dim=-1)
    return summed / values.clamp(min=1.0)


def pooling_weights(rows: Tensor, spans: ColumnSpans) -> Tensor:
    """Weights (..., C): 1 / (number of values of the column's field), 0 in padding."""
    is_real = (rows != PADDING_INDEX).to(torch.float32)
    return _by_field(
        is_real, spans, lambda values: values / values.sum(dim=-1, keepdim=True).clamp(min=1.0)
    )


def pool_fields(columns: Tensor, spans: ColumnSpans) -> Tensor:
    """Sum (..., C, Z) over the columns of each field, giving (..., F, Z)."""
    return _by_field(columns, spans, lambda values: values.sum(dim=-2, keepdim=True), axis=-2)


def _by_field(
    x: Tensor, spans: ColumnSpans, pool: Callable[[Tensor], Tensor], axis: int = -1
) -> Tensor:
    """Apply a function to the columns of each multi-valued field; other columns are unchanged."""
    if all(width == 1 for _, width in spans):
        return x
    parts = []
    for multi_valued, run in groupby(spans, key=lambda span: span[1] > 1):
        fields = list(run)
        if multi_valued:
            parts += [pool(x.narrow(axis, first, width)) for first, width in fields]
        else:
            parts.append(x.narrow(axis, fields[0][0], len(fields)))
    return torch.cat(parts, dim=axis)
