"""The embedding table: encoded columns -> one vector a field. No feature name is known here."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.contract.fitted import PADDING_ROW
from model.nets.shape import Span

Spans = tuple[Span, ...]  # (first column, width) of each field; they follow each other


class FieldEmbedding(nn.Module):
    """One table for all fields, shared by whoever reads the same kind of rows.

    A padding row gives the zero vector, and no gradient reaches it: the mask is taken from the
    rows themselves.
    """

    def __init__(
        self, rows: int, width: int, *, members: int | None = None, scale: float = 0.05
    ) -> None:
        super().__init__()
        self.width, self.members = width, members
        self.table = nn.Parameter(torch.randn(rows, width * (members or 1)) * scale)

    def forward(self, rows: Tensor, spans: Spans) -> Tensor:
        """Look fields up; a multi-valued field is the mean of its values.

        Args:
            rows: (..., C) int, columns of rows.
            spans: which columns belong to a field.

        Returns:
            (..., F, D), or (E, ..., F, D) with members.
        """
        if torch.compiler.is_compiling():
            x = self.in_graph(rows, spans).transpose(1, 2).unflatten(1, rows.shape[:-1])
            return x if self.members is not None else x.squeeze(0)
        return self.by_member(pool_fields(self.columns(rows, shares(rows, spans)), spans))

    def columns(self, rows: Tensor, share: Tensor) -> Tensor:
        """(..., C, E * D): what each column adds to its field's mean; share from `shares`."""
        return functional.embedding(rows, self.table) * share.unsqueeze(-1)

    def in_graph(self, rows: Tensor, spans: Spans) -> Tensor:
        """(..., C) -> (E, F, R, D), R all rows of columns: see `means_in_graph`."""
        means = means_in_graph(self.table, rows, spans)
        return means.unflatten(-1, (self.members or 1, self.width)).movedim(-2, 0)

    def by_member(self, wide: Tensor) -> Tensor:
        """(..., E * D) -> (E, ..., D); as it is without members."""
        if self.members is None:
            return wide
        return wide.unflatten(-1, (self.members, self.width)).movedim(-2, 0)


def means_in_graph(table: Tensor, rows: Tensor, spans: Spans) -> Tensor:
    """(..., C) rows of a table (.., Z) -> (F, R, Z): means of fields by the fewest nodes.

    The padding row is zero in the table itself, a column of ones in it counts values, and fields
    come first, so that a mean is one wide product: a sixth of the time of many small. Every look-up
    takes this same table, which a graph therefore holds once.
    """
    there = torch.arange(table.shape[0], device=table.device) != PADDING_ROW
    counted = torch.cat([table, torch.ones_like(table[:, :1])], dim=1) * there.unsqueeze(1)
    looked = functional.embedding(rows.flatten(0, -2).t(), counted)  # (C, R, Z + 1)
    if all(width == 1 for _, width in spans):
        return looked[..., :-1]
    owner = [field for field, (_, width) in enumerate(spans) for _ in range(width)]
    pool = torch.eye(len(spans), device=rows.device)[:, owner]  # (F, C)
    total = (pool @ looked.flatten(1)).unflatten(1, (-1, counted.shape[1]))
    summed, values = total.split((table.shape[1], 1), dim=-1)
    return summed / values.clamp(min=1.0)


def shares(rows: Tensor, spans: Spans) -> Tensor:
    """(..., C) float: 1 / values of the column's field, 0 in padding."""
    there = (rows != PADDING_ROW).to(torch.float32)
    return _by_field(
        there, spans, lambda several: several / several.sum(dim=-1, keepdim=True).clamp(min=1.0)
    )


def pool_fields(columns: Tensor, spans: Spans) -> Tensor:
    """Sum (..., C, Z) over the columns of each field: (..., F, Z)."""
    return _by_field(columns, spans, lambda several: several.sum(dim=-2, keepdim=True), axis=-2)


def _by_field(
    x: Tensor, spans: Spans, several: Callable[[Tensor], Tensor], axis: int = -1
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
