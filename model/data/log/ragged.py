"""Lists of different lengths, one a row, as one flat array and the length of each list."""

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

    values: (V,) values, row after row.
    row_lengths: (R,) int64, number of values of each row.
    """

    values: NDArray[Any]
    row_lengths: IntArray

    @cached_property
    def row_starts(self) -> IntArray:
        """(R,) int64 start of each row in `values`."""
        return np.asarray(np.cumsum(self.row_lengths) - self.row_lengths)

    @cached_property
    def value_row_ids(self) -> IntArray:
        """(V,) int64 row of each value."""
        return np.repeat(np.arange(len(self.row_lengths)), self.row_lengths)

    def valid_mask(self, width: int) -> NDArray[np.bool_]:
        """(R, width) bool, True where the padded array holds a value."""
        return np.asarray(np.arange(width) < self.row_lengths[:, None])

    def to_padded(self, width: int, fill: int) -> NDArray[Any]:
        """(R, width) values row by row, `fill` in the padding."""
        out = np.full((len(self.row_lengths), width), fill, dtype=self.values.dtype)
        out[self.valid_mask(width)] = self.values
        return out

    def value_slice(self, first: int, last: int) -> slice:
        """Slice of `values` that holds the rows first..last-1."""
        total = len(self.values)
        start = int(self.row_starts[first]) if first < len(self.row_lengths) else total
        return slice(start, int(self.row_starts[last]) if last < len(self.row_lengths) else total)
