"""Aspiration: the user takes the first item above a level that adapts to what was seen."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import draw_at_most_one, sigmoid
from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class AspirationResponse:
    """Satisficing: at most one click; good items seen early raise the level for later ones.

    P(click at j | reading) = sigmoid(steepness (s_j - level_j))
    level_0 = start; level_{j+1} = level_j + adaptation (s_j - level_j) - impatience
    P(reading j+1 | reading j, no click) = 1 - boredom; a click ends the reading
    """

    item_fields: ClassVar[Collection[str]] = ()

    steepness: float = 1.6
    start: float = 3.2
    adaptation: float = 0.2
    impatience: float = 0.1
    boredom: float = 0.15

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities; a list sums to at most 1."""
        taste = lists.taste.astype(np.float64)
        level, reading = np.full(len(taste), self.start), np.ones(len(taste))
        out = np.empty(taste.shape)
        for j in range(taste.shape[1]):
            out[:, j] = reading * sigmoid(self.steepness * (taste[:, j] - level))
            reading = (reading - out[:, j]) * (1 - self.boredom)
            level = level + self.adaptation * (taste[:, j] - level) - self.impatience
        return out

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8, at most one click a list."""
        return draw_at_most_one(self.click_probabilities(lists), rng)
