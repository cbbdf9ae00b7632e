"""Lists of different lengths, one a row, as one flat array and the row's counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class RaggedArray:
    """One list a row.

    values: (V,) the rows' values, row after row.
    counts: (R,) int64, values of each row.
    """

    values: NDArray[Any]
    row_lengths: IntArray

    @cached_property
    def row_starts(self) -> IntArray:
        """(R,) where each row starts in `values`."""
        return np.asarray(np.cumsum(self.row_lengths) - self.row_lengths)

    @cached_property
    def value_row_ids(self) -> IntArray:
        """(V,) the row that each value belongs to."""
        return np.repeat(np.arange(len(self.row_lengths)), self.row_lengths)

    def valid_mask(self, width: int) -> NDArray[np.bool_]:
        """(R, width) bool, True where a padded form holds a real value."""
        return np.asarray(np.arange(width) < self.row_lengths[:, None])

    def to_padded(self, width: int, fill: int) -> NDArray[Any]:
        """(R, width) the values in rows, `fill` elsewhere."""
        out = np.full((len(self.row_lengths), width), fill, dtype=self.values.dtype)
        out[self.valid_mask(width)] = self.values
        return out

    def value_slice(self, first: int, last: int) -> slice:
        """Where the values of rows first..last-1 stand in `values`."""
        total = len(self.values)
        start = int(self.row_starts[first]) if first < len(self.row_lengths) else total
        return slice(start, int(self.row_starts[last]) if last < len(self.row_lengths) else total)
