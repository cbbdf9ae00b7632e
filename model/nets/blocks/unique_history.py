"""Unique past items of a batch, so that each is embedded once; no sessions, no attention.

The hundred thousand session slots of a training batch have a few thousand unique items. Values
that depend on the item alone are computed per unique item and gathered for the slots. In an
exported graph the past items of one request hardly repeat, so every slot is computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class UniqueHistory(NamedTuple):
    """Unique items and their positions.

    rows: (U, Fs) int, the unique items; or (B, H, M, Fs), every slot.
    inverse: (B, H, M) int64, index of the unique item in each slot; None with every slot.
    """

    rows: Tensor
    inverse: Tensor | None

    @classmethod
    def from_sessions(cls, sessions: Tensor) -> UniqueHistory:
        """Find the unique items of rows (B, H, M, Fs); an export keeps every slot."""
        if torch.compiler.is_compiling():
            return cls(sessions, None)
        b, h, m, columns = sessions.shape
        rows = sessions.reshape(-1, columns)
        _, inverse = torch.unique(_fingerprints(rows), return_inverse=True)
        representative = inverse.new_empty(int(inverse.max()) + 1 if len(inverse) else 0)
        representative[inverse] = torch.arange(len(inverse), device=inverse.device)
        return cls(rows[representative], inverse.view(b, h, m))

    def flatten_fields(self, items: Tensor) -> Tensor:
        """Concatenate the fields of embedded items: (E, U, F * D) or (E, B, H * M, F * D)."""
        flat = items.flatten(-2)
        return flat if self.inverse is not None else flat.flatten(2, 3)

    def expand_to_slots(self, per_item: Tensor) -> Tensor:
        """Gather values of unique items (E, U, Z) to slots (E, B, H * M, Z).

        Values of every slot are returned unchanged.
        """
        if self.inverse is None:
            return per_item
        members, _, z = per_item.shape
        wide = gather_items(per_item.movedim(0, 1).flatten(1), self.inverse.flatten(1))
        return wide.unflatten(-1, (members, z)).movedim(-2, 0)


def gather_items(per_item: Tensor, item_index: Tensor) -> Tensor:
    """Gather values of items (U, Z) by indices (...), giving (..., Z)."""
    return functional.embedding(item_index, per_item)  # its gradient is cheaper than indexing's


def _fingerprints(rows: Tensor) -> Tensor:
    """Hash of each row, (R,) int64; different rows collide in one of 10^12 batches."""
    rng = torch.Generator().manual_seed(0)
    odd = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=rng) * 2 + 1
    return (rows.long() * odd.to(rows.device)).sum(dim=1)
