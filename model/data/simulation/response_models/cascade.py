"""Cascade: the user reads from the top and may leave after each slot."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import sigmoid
from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class CascadeResponse:
    """The user reads from the top and leaves with one probability after a click, another without.

    P(click at j | seen) = sigmoid(taste_weight s_j + contrast_weight (s_j - mean s of the list)
                           - saturation_weight sat_j - offset)
    sat_j = mean over the item's genres of log(items of the list with that genre)
    P(seen j+1 | seen j) = 1 - leave_after_click after a click, 1 - boredom after none
    """

    item_fields: ClassVar[Collection[str]] = ()

    taste_weight: float = 1.1
    saturation_weight: float = 0.9
    contrast_weight: float = 0.6
    offset: float = 0.6
    boredom: float = 0.2
    leave_after_click: float = 0.4

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities, by recursion over the slots."""
        return self._walk(self._attraction(lists), lambda p: p)

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks: the same recursion, each step drawn."""

        def draw(probability: FloatArray) -> FloatArray:
            return (rng.random(probability.shape) < probability).astype(np.float64)

        return self._walk(self._attraction(lists), draw).astype(np.int8)

    def _walk(
        self, attraction: FloatArray, settle: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """Read slot by slot; `settle` keeps probabilities, or draws from them."""
        reading: FloatArray = np.ones(len(attraction))
        out = np.empty(attraction.shape)
        for j in range(attraction.shape[1]):
            out[:, j] = settle(reading * attraction[:, j])
            stay = out[:, j] * (1 - self.leave_after_click)
            reading = settle(stay + (reading - out[:, j]) * (1 - self.boredom))
        return out

    def _attraction(self, lists: PresentedLists) -> FloatArray:
        taste = lists.taste
        item_genres = lists.attributes.genres.matrix[lists.items]  # (L, M, G)
        log_counts = np.log(np.maximum(item_genres.sum(axis=1, keepdims=True), 1.0))
        genre_count = np.maximum(item_genres.sum(axis=-1), 1.0)
        saturation = (item_genres * log_counts).sum(axis=-1) / genre_count
        logit = self.taste_weight * taste - self.saturation_weight * saturation
        contrast = taste - taste.mean(axis=1, keepdims=True)
        return sigmoid(logit + self.contrast_weight * contrast - self.offset)
