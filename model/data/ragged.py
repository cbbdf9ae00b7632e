"""Lists of different lengths, one a row, as one flat array and the row's counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """One list a row.

    values: (V,) the rows' values, row after row.
    counts: (R,) int64, values of each row.
    """

    values: NDArray[Any]
    counts: Ints

    @cached_property
    def starts(self) -> Ints:
        """(R,) where each row starts in `values`."""
        return np.asarray(np.cumsum(self.counts) - self.counts)

    @cached_property
    def rows(self) -> Ints:
        """(V,) the row that each value belongs to."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def valid(self, width: int) -> NDArray[np.bool_]:
        """(R, width) bool, True where a padded form holds a real value."""
        return np.asarray(np.arange(width) < self.counts[:, None])

    def padded(self, width: int, fill: int) -> NDArray[Any]:
        """(R, width) the values in rows, `fill` elsewhere."""
        out = np.full((len(self.counts), width), fill, dtype=self.values.dtype)
        out[self.valid(width)] = self.values
        return out

    def chunk(self, first: int, last: int) -> slice:
        """Where the values of rows first..last-1 stand in `values`."""
        total = len(self.values)
        start = int(self.starts[first]) if first < len(self.counts) else total
        return slice(start, int(self.starts[last]) if last < len(self.counts) else total)
