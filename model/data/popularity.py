"""How often items were shown and clicked in the training part, by embedding row of the item id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.log_tables import LogTables
from model.data.split import TRAIN

Floats = NDArray[np.float64]
PRIOR = 20.0  # shows at the overall share that every item is given beforehand


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """shows, clicks: (table rows,) counts; ids that were never shown have none."""

    shows: Floats
    clicks: Floats

    @classmethod
    def of(cls, tables: LogTables) -> ItemCounts:
        """Count the training part."""
        rows = tables.rows_of(TRAIN)
        shown = np.arange(tables.slots) < tables.shown_count[rows, None]
        place = np.take_along_axis(tables.candidates[rows], tables.shown[rows], axis=1)
        item = tables.items.padded_rows[place][..., 0][shown]
        clicked = (tables.clicks[rows][shown] > 0).astype(np.float64)
        size = tables.schema.table_rows
        return cls(
            shows=np.bincount(item, minlength=size).astype(np.float64),
            clicks=np.bincount(item, weights=clicked, minlength=size).astype(np.float64),
        )

    def click_share(self, prior: float = PRIOR) -> Floats:
        """(clicks + prior * overall share) / (shows + prior); an unknown item has the overall."""
        overall = (self.clicks.sum() + 1.0) / (self.shows.sum() + 2.0)
        return np.asarray((self.clicks + prior * overall) / (self.shows + prior))

    def log_shows(self) -> Floats:
        """Logarithm of the shows, one added: weights of draws by popularity."""
        return np.log1p(self.shows)
