"""Past items of a batch, each different one embedded once. Knows no session and no attention.

A few thousand different items fill the hundred thousand session slots of a training batch, so
what depends on the item alone is computed for the different ones and looked up for the slots. An
exported graph serves one request, whose past items hardly repeat: there every slot is computed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class UniqueHistory(NamedTuple):
    """Different items and where they stand.

    rows: (U, Fs) int, the different items; or (B, H, M, Fs), every slot.
    place: (B, H, M) int64, which of the different items stands there; None with every slot.
    """

    rows: Tensor
    inverse: Tensor | None

    @classmethod
    def from_sessions(cls, sessions: Tensor) -> UniqueHistory:
        """Find the different items of (B, H, M, Fs) rows; while exporting every slot is kept."""
        if torch.compiler.is_compiling():
            return cls(sessions, None)
        b, h, m, columns = sessions.shape
        rows = sessions.reshape(-1, columns)
        _, place = torch.unique(_fingerprints(rows), return_inverse=True)
        first = place.new_empty(int(place.max()) + 1 if len(place) else 0)
        first[place] = torch.arange(len(place), device=place.device)
        return cls(rows[first], place.view(b, h, m))

    def flatten_fields(self, items: Tensor) -> Tensor:
        """Embedded items, fields side by side: (E, U, F * D), or (E, B, H * M, F * D)."""
        flat = items.flatten(-2)
        return flat if self.inverse is not None else flat.flatten(2, 3)

    def expand_to_slots(self, per_item: Tensor) -> Tensor:
        """(E, U, Z) numbers of the different items -> (E, B, H * M, Z); else as they are."""
        if self.inverse is None:
            return per_item
        members, _, z = per_item.shape
        wide = gather_items(per_item.movedim(0, 1).flatten(1), self.inverse.flatten(1))
        return wide.unflatten(-1, (members, z)).movedim(-2, 0)


def gather_items(per_item: Tensor, item_index: Tensor) -> Tensor:
    """(U, Z) numbers of the different items -> (..., Z) for places (...)."""
    return functional.embedding(item_index, per_item)  # its gradient is cheaper than an index's


def _fingerprints(rows: Tensor) -> Tensor:
    """(R,) int64: equal for equal rows; different ones meet in one of 10^12 batches."""
    rng = torch.Generator().manual_seed(0)
    odd = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=rng) * 2 + 1
    return (rows.long() * odd.to(rows.device)).sum(dim=1)
