"""Grid: a page of two columns, scrolled row by row."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import (
    draw_reached,
    reach_probability,
    sigmoid,
)
from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import FloatArray

COLUMNS = 2


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class GridResponse:
    """Slots fill a page of two columns; the user scrolls on while rows are attractive.

    a_j = sigmoid(taste_weight s_j + contrast_weight (s_j - s of the other item of the row)
          - column_weight cosine(j, item above in the same column) - offset)
    P(click at j | row seen) = a_j, times `side` in the right column
    P(next row seen | row seen) = scroll + (1 - scroll) max of a over the row
    An item alone in its row has no contrast.
    """

    item_fields: ClassVar[Collection[str]] = ()

    taste_weight: float = 0.9
    contrast_weight: float = 0.2
    column_weight: float = 1.5
    side: float = 0.6
    scroll: float = 0.6
    offset: float = 3.4

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities: row seen times attractive."""
        attraction = self._attraction(lists)
        seen = reach_probability(self._stay(attraction))
        return self._of_slots(seen, attraction) * attraction * self._side(attraction)

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks in the rows that the user reaches."""
        attraction = self._attraction(lists)
        seen = self._of_slots(draw_reached(self._stay(attraction), rng), attraction)
        clicked = rng.random(seen.shape) < attraction * self._side(attraction)
        return (seen & clicked).astype(np.int8)

    def _stay(self, attraction: FloatArray) -> FloatArray:
        """(L, rows) probability of scrolling on after each row."""
        slots = attraction.shape[1]
        starts = np.arange(0, slots, COLUMNS)
        return self.scroll + (1 - self.scroll) * np.maximum.reduceat(attraction, starts, axis=1)

    def _of_slots(self, rows: NDArray[Any], attraction: FloatArray) -> NDArray[Any]:
        """Values of rows (L, rows) for each slot (L, M)."""
        return np.repeat(rows, COLUMNS, axis=1)[:, : attraction.shape[1]]

    def _side(self, attraction: FloatArray) -> FloatArray:
        return np.where(np.arange(attraction.shape[1]) % COLUMNS, self.side, 1.0)

    def _attraction(self, lists: PresentedLists) -> FloatArray:
        taste = lists.taste.astype(np.float64)
        slots = taste.shape[1]
        other = np.arange(slots) ^ 1  # the other column of the same row
        other[other >= slots] = slots - 1
        repeated = np.zeros_like(taste)
        above = np.arange(COLUMNS, slots)
        repeated[:, COLUMNS:] = lists.similarity[:, above, above - COLUMNS]
        return sigmoid(
            self.taste_weight * taste
            + self.contrast_weight * (taste - taste[:, other])
            - self.column_weight * repeated
            - self.offset
        )
