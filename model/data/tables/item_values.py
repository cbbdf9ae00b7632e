"""Value of each candidate under the objective, for example its price."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.data.errors import MissingColumn
from model.data.tables.log_tables import LogTables


def gather_item_values(tables: LogTables, field: str) -> NDArray[np.float32]:
    """(R, N) float32 raw values of a numeric item field; 0 for a null and in padding.

    Raises:
        MissingColumn: `field` is no numeric item field.
    """
    if field not in tables.items.numbers:
        known = ", ".join(sorted(tables.items.numbers)) or "none"
        rule = f"objective.value_field must be a numeric item field (known: {known})"
        raise MissingColumn(file="items.parquet", column=field, rule=rule)
    column = np.append(np.nan_to_num(tables.items.numbers[field]), np.float32(0.0))
    places = tables.candidates
    valid = np.arange(places.shape[1]) < tables.cand_count[:, None]
    return np.where(valid, column[places], np.float32(0.0))
