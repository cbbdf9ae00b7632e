"""Rules of one request as arrays, the inputs of the generator's rule graph and of the verifier.

A rule row r bounds, from `minimum_r` to `maximum_r`, how many of `slots_r` hold a `member_r`.
Caps, window caps and minimums all become such rows; pins become slots that may not be edited and
exclusions candidates that may not be chosen. `rows.py` turns wire constraints into rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RuleArrays:
    """Rules of one request with N candidates and M slots.

    allowed: (N,) bool, candidates that lists may hold (False: excluded or padding).
    editable: (M,) bool, slots that an edit may change (False: pinned or padding).
    member: (R, N) bool, candidates that count for rule r.
    slots: (R, M) bool, slots over which rule r counts.
    minimum, maximum: (R,) float32, bounds on the count.
    """

    allowed: BoolArray
    editable: BoolArray
    member: BoolArray
    slots: BoolArray
    minimum: FloatArray
    maximum: FloatArray

    def satisfied_by(self, lists: NDArray[np.integer[Any]], slot_valid: BoolArray) -> BoolArray:
        """Which lists obey every row and hold only allowed candidates without repetition.

        Args:
            lists: (L, M) candidate indices.
            slot_valid: (M,) bool.

        Returns:
            (L,) bool. Pins are not compared; the caller does that with the start list.
        """
        shown = lists[:, slot_valid]
        ok = self.allowed[shown].all(axis=-1)
        ordered = np.sort(shown, axis=-1)
        ok &= (ordered[:, 1:] != ordered[:, :-1]).all(axis=-1)
        counts = (self.member[:, shown] & self.slots[:, slot_valid][:, None, :]).sum(axis=-1)
        within = (counts >= self.minimum[:, None]) & (counts <= self.maximum[:, None])
        return np.asarray(ok & within.all(axis=0))
