"""Shows and clicks of items in the training part, by embedding row of the item id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.tables.log_tables import LogTables
from model.data.tables.split import TRAIN

FloatArray = NDArray[np.float64]
PRIOR_SHOWS = 20.0  # shows at the overall click rate, added to every item


@dataclass(frozen=True, slots=True)
class ItemCounts:
    """shows, clicks: (embedding rows,) float64 counts; 0 for ids that were never shown."""

    shows: FloatArray
    clicks: FloatArray

    @classmethod
    def from_tables(cls, tables: LogTables) -> ItemCounts:
        """Count the training part."""
        rows = tables.part_rows(TRAIN)
        shown = np.arange(tables.slots) < tables.shown_count[rows, None]
        place = np.take_along_axis(tables.candidates[rows], tables.shown[rows], axis=1)
        item = tables.items.rows_with_default[place][..., 0][shown]
        clicked = (tables.clicks[rows][shown] > 0).astype(np.float64)
        size = tables.schema.num_embeddings
        return cls(
            shows=np.bincount(item, minlength=size).astype(np.float64),
            clicks=np.bincount(item, weights=clicked, minlength=size).astype(np.float64),
        )

    def smoothed_click_rate(self, prior_shows: float = PRIOR_SHOWS) -> FloatArray:
        """(clicks + prior * overall rate) / (shows + prior); the overall rate without shows."""
        overall = (self.clicks.sum() + 1.0) / (self.shows.sum() + 2.0)
        return np.asarray((self.clicks + prior_shows * overall) / (self.shows + prior_shows))

    def log_show_counts(self) -> FloatArray:
        """log(1 + shows), the weights of draws by popularity."""
        return np.log1p(self.shows)
