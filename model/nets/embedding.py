"""The embedding table: encoded columns -> one vector a field. No feature name is known here."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.contract.fitted import PADDING_ROW


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

    def forward(self, rows: Tensor, pool: Tensor) -> Tensor:
        """Look fields up; a multi-valued field is the mean of its values.

        Args:
            rows: (..., C) int, columns of rows.
            pool: (F, C) float, 1 where column c belongs to field f (`pooling_matrix`).

        Returns:
            (..., F, D), or (E, ..., F, D) with members.
        """
        there = (rows != PADDING_ROW).to(self.table.dtype)  # (..., C)
        if pool.shape[0] != pool.shape[1]:  # some field takes several columns
            count = (there @ pool.T).clamp(min=1.0) @ pool  # (..., C) values of the column's field
            there = there / count
        picked = functional.embedding(rows, self.table) * there.unsqueeze(-1)
        if pool.shape[0] != pool.shape[1]:
            picked = pool @ picked  # (..., F, E * D)
        if self.members is None:
            return picked
        split = picked.reshape(*picked.shape[:-1], self.members, self.width)
        return split.movedim(-2, 0)


def pooling_matrix(spans: Sequence[tuple[int, int]]) -> Tensor:
    """(F, C) float from (first column, width) of each field."""
    pool = torch.zeros(len(spans), sum(width for _, width in spans))
    for field, (at, width) in enumerate(spans):
        pool[field, at : at + width] = 1.0
    return pool
