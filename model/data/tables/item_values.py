"""The value of each candidate, where the objective weighs one (say, price)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.data.errors import LogError
from model.data.tables.log_tables import LogTables


def gather_item_values(tables: LogTables, field: str) -> NDArray[np.float32]:
    """(R, N) float32 raw values of a numeric item field; 0 for a gap and in padding."""
    if field not in tables.items.numbers:
        known = ", ".join(sorted(tables.items.numbers)) or "none"
        rule = f"objective.value_field must be a numeric item field (there: {known})"
        raise LogError(file="items.parquet", column=field, rule=rule)
    column = np.append(np.nan_to_num(tables.items.numbers[field]), np.float32(0.0))
    places = tables.candidates
    there = np.arange(places.shape[1]) < tables.cand_count[:, None]
    return np.where(there, column[places], np.float32(0.0))
