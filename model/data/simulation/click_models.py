"""Click models of simulated users, with exact click probabilities of a whole list.

They read tastes and genres only, neither logs nor files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
ItemIndices = NDArray[np.integer[Any]]
LISTWISE, CASCADE = "listwise", "cascade"


@dataclass(frozen=True)
class ItemGenres:
    """Genres of the items.

    matrix: (I, G) float, 1 where an item has a genre.
    """

    matrix: FloatArray

    @cached_property
    def cosine_similarity(self) -> FloatArray:
        """(I, I) float32 cosine of the genres of two items, 0 for an item without genres."""
        length = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        unit = self.matrix / np.maximum(length, 1.0)
        return (unit @ unit.T).astype(np.float32)


class ClickModel(Protocol):
    """Clicks on L lists of M items each.

    taste: (L, M) taste of the user for each item of the list. items: (L, M) item indices.
    """

    def click_probabilities(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres
    ) -> FloatArray:
        """(L, M) float, exact click probability of each slot."""
        ...

    def sample_clicks(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """(L, M) int8 clicks, drawn once for each list."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListwiseClickModel:
    """Attention falls with the slot; similar items above reduce appeal; contrast adds appeal.

    P(click at j) = 1 / (1 + decay j) * sigmoid(taste_weight s_j - saturation_weight sat_j
                    + contrast_weight contrast_j - offset)
    sat_j = sum over i above j of cosine(i, j) exp(-(j - i - 1) / reach)
    contrast_j = s_j minus the mean s of the slots next to j
    """

    taste_weight: float = 1.1
    saturation_weight: float = 1.3
    contrast_weight: float = 0.6
    offset: float = 0.9
    decay: float = 0.25
    reach: float = 3.0

    def click_probabilities(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres
    ) -> FloatArray:
        """(L, M) exact click probabilities; slots are independent."""
        slots = taste.shape[1]
        j = np.arange(slots)
        above = np.where(j[:, None] > j, np.exp(-(j[:, None] - j - 1) / self.reach), 0.0)
        alike = genres.cosine_similarity[items[:, :, None], items[:, None, :]]
        saturation = np.einsum("ljk,jk->lj", alike, above.astype(np.float32))
        logit = self.taste_weight * taste - self.saturation_weight * saturation
        logit = logit + self.contrast_weight * (taste - _adjacent_mean(taste)) - self.offset
        return _sigmoid(logit) / (1.0 + self.decay * j)

    def sample_clicks(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """(L, M) int8 clicks."""
        return (rng.random(taste.shape) < self.click_probabilities(taste, items, genres)).astype(
            np.int8
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeClickModel:
    """The user reads from the top and leaves with one probability after a click, another without.

    P(click at j | seen) = sigmoid(taste_weight s_j + contrast_weight (s_j - mean s of the list)
                           - saturation_weight sat_j - offset)
    sat_j = mean over the item's genres of log(items of the list with that genre)
    P(seen j+1 | seen j) = 1 - leave_after_click after a click, 1 - boredom after none
    """

    taste_weight: float = 1.1
    saturation_weight: float = 0.9
    contrast_weight: float = 0.6
    offset: float = 0.6
    boredom: float = 0.2
    leave_after_click: float = 0.4

    def click_probabilities(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres
    ) -> FloatArray:
        """(L, M) exact click probabilities, by recursion over the slots."""
        return self._walk(self._attraction(taste, items, genres), lambda p: p)

    def sample_clicks(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """(L, M) int8 clicks: the same recursion, each step drawn."""

        def draw(probability: FloatArray) -> FloatArray:
            return (rng.random(probability.shape) < probability).astype(np.float64)

        return self._walk(self._attraction(taste, items, genres), draw).astype(np.int8)

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

    def _attraction(self, taste: FloatArray, items: ItemIndices, genres: ItemGenres) -> FloatArray:
        item_genres = genres.matrix[items]  # (L, M, G)
        log_counts = np.log(np.maximum(item_genres.sum(axis=1, keepdims=True), 1.0))
        genre_count = np.maximum(item_genres.sum(axis=-1), 1.0)
        saturation = (item_genres * log_counts).sum(axis=-1) / genre_count
        logit = self.taste_weight * taste - self.saturation_weight * saturation
        contrast = taste - taste.mean(axis=1, keepdims=True)
        return _sigmoid(logit + self.contrast_weight * contrast - self.offset)


def _adjacent_mean(taste: FloatArray) -> FloatArray:
    """(L, M) mean taste of the one or two adjacent slots; of itself in a list of one."""
    slots = taste.shape[1]
    if slots == 1:
        return taste
    total, count = np.zeros_like(taste), np.zeros(slots, dtype=taste.dtype)
    total[:, 1:] += taste[:, :-1]
    count[1:] += 1
    total[:, :-1] += taste[:, 1:]
    count[:-1] += 1
    return total / count


def _sigmoid(x: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-x))
