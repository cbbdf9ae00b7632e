"""How a simulated user answers a whole list: written-down models of which the truth is known.

Each gives the exact probability of a click in every slot, and draws clicks from it. They know
tastes and genres, neither logs nor files.
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
    """Which item has which genre. matrix: (I, G) float 0/1."""

    matrix: FloatArray

    @cached_property
    def cosine_similarity(self) -> FloatArray:
        """(I, I) float32 cosine of two items' genres, 0 for an item without any."""
        length = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        unit = self.matrix / np.maximum(length, 1.0)
        return (unit @ unit.T).astype(np.float32)


class ClickModel(Protocol):
    """Answers L lists of M items each; `factor_weights` (L, M) says how much the user likes each item."""

    def click_probabilities(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres
    ) -> FloatArray:
        """(L, M) exact probability that the slot is clicked."""
        ...

    def sample_clicks(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """(L, M) clicks of one visit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListwiseClickModel:
    """Attention falls with the slot; similar items above take appeal away; contrast adds it.

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
        """(L, M) exact click probabilities; slots are answered independently."""
        slots = taste.shape[1]
        j = np.arange(slots)
        above = np.where(j[:, None] > j, np.exp(-(j[:, None] - j - 1) / self.reach), 0.0)
        alike = genres.cosine_similarity[items[:, :, None], items[:, None, :]]
        saturation = np.einsum("ljk,jk->lj", alike, above.astype(np.float32))
        logit = self.taste_weight * taste - self.saturation_weight * saturation
        logit = logit + self.contrast_weight * (taste - _beside(taste)) - self.offset
        return _sigmoid(logit) / (1.0 + self.decay * j)

    def sample_clicks(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """(L, M) clicks."""
        return (rng.random(taste.shape) < self.click_probabilities(taste, items, genres)).astype(
            np.int8
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeClickModel:
    """The user reads from the top and leaves, sometimes after a click, sometimes out of boredom.

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
        """(L, M) exact click probabilities, by forward recursion over "still reading"."""
        return self._walk(self._attraction(taste, items, genres), lambda p: p)

    def sample_clicks(
        self, taste: FloatArray, items: ItemIndices, genres: ItemGenres, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """(L, M) clicks: the same walk, each step drawn."""

        def toss(chance: FloatArray) -> FloatArray:
            return (rng.random(chance.shape) < chance).astype(np.float64)

        return self._walk(self._attraction(taste, items, genres), toss).astype(np.int8)

    def _walk(
        self, attraction: FloatArray, settle: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """Read slot by slot; `settle` keeps probabilities, or tosses a coin for each."""
        reading: FloatArray = np.ones(len(attraction))
        out = np.empty(attraction.shape)
        for j in range(attraction.shape[1]):
            out[:, j] = settle(reading * attraction[:, j])
            stay = out[:, j] * (1 - self.leave_after_click)
            reading = settle(stay + (reading - out[:, j]) * (1 - self.boredom))
        return out

    def _attraction(self, taste: FloatArray, items: ItemIndices, genres: ItemGenres) -> FloatArray:
        own = genres.matrix[items]  # (L, M, G)
        crowd = np.log(np.maximum(own.sum(axis=1, keepdims=True), 1.0))
        saturation = (own * crowd).sum(axis=-1) / np.maximum(own.sum(axis=-1), 1.0)
        logit = self.taste_weight * taste - self.saturation_weight * saturation
        contrast = taste - taste.mean(axis=1, keepdims=True)
        return _sigmoid(logit + self.contrast_weight * contrast - self.offset)


def _beside(taste: FloatArray) -> FloatArray:
    """(L, M) mean over the one or two slots next to each; the only slot is its own neighbor."""
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
