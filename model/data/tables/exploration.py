"""How much the shown lists of a log differ from upstream's order.

Where every list is shown in upstream's order, slot and upstream's rank are the same number, and no
log of any length tells how much of the clicks is owed to either.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.data.tables.log_tables import LogTables

MIN_EXPLORED_SHARE = 0.01  # of lists; with less, clicks do not tell slots from relevance


def explored_mask(tables: LogTables, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(R,) bool, True for rows whose shown list is not the first candidates in upstream's order."""
    slot = np.arange(tables.slots)
    real = slot < tables.shown_count[rows, None]
    return np.asarray(((tables.shown[rows] != slot) & real).any(axis=1))
