"""What a simulated world knows of items and users beside tastes.

Only the genres, and the price where a response model reads it, are written to the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
ItemIndices = NDArray[np.integer[Any]]
RECENT_ITEMS = 20  # rated items of a user that count as recently seen
_PRICE_STREAM, _SEGMENT_STREAM = 2, 3  # numbers of random streams beside the one of the log
MEDIAN_PRICE, PRICE_SPREAD = 12.0, 0.6  # lognormal price: median and deviation of its logarithm


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

    @cached_property
    def shares(self) -> FloatArray:
        """(I, G + 1) float64 rows that sum to 1: equal shares of an item's genres.

        The last column is 1 for an item without genres.
        """
        count = self.matrix.sum(axis=1, keepdims=True)
        named = self.matrix / np.maximum(count, 1.0)
        return np.concatenate([named, (count == 0).astype(np.float64)], axis=1).astype(np.float64)


@dataclass(frozen=True)
class WorldAttributes:
    """Attributes of items and users that response models read.

    genres: of the items.
    log_price: (I,) float32, standardized logarithm of the price.
    recent_genres: (U, G + 1) float32, mean genre shares of the items that a user saw before the
        log; static, it does not grow with the simulated lists.
    genre_affinity: (U, G + 1) float32, standardized mean taste of a user for each genre.
    segment: (U,) float32 uniform in [0, 1), decides the latent kind of a user.
    """

    genres: ItemGenres
    log_price: NDArray[np.float32]
    recent_genres: NDArray[np.float32]
    genre_affinity: NDArray[np.float32]
    segment: NDArray[np.float32]

    def prices(self) -> NDArray[np.float64]:
        """(I,) prices, lognormal."""
        return np.asarray(MEDIAN_PRICE * np.exp(PRICE_SPREAD * self.log_price.astype(np.float64)))


def draw_world_attributes(
    genres: ItemGenres, taste: FloatArray, recent_items: Sequence[ItemIndices], seed: int
) -> WorldAttributes:
    """Attributes of a world; streams of their own leave the draws of the log unchanged.

    Args:
        genres: of the items.
        taste: (U, I) tastes.
        recent_items: for each user, items seen before the log.
        seed: of the world.
    """
    users, items = taste.shape
    recent = np.stack([_mean_shares(genres, seen) for seen in recent_items])
    price_rng = np.random.default_rng((seed, _PRICE_STREAM))
    segment_rng = np.random.default_rng((seed, _SEGMENT_STREAM))
    return WorldAttributes(
        genres=genres,
        log_price=price_rng.standard_normal((items,), dtype=np.float32),
        recent_genres=recent.astype(np.float32),
        genre_affinity=_genre_affinity(genres, taste),
        segment=segment_rng.random((users,), dtype=np.float32),
    )


def _mean_shares(genres: ItemGenres, items: ItemIndices) -> FloatArray:
    width = genres.shares.shape[1]
    return genres.shares[items].mean(axis=0) if len(items) else np.zeros(width)


def _genre_affinity(genres: ItemGenres, taste: FloatArray) -> NDArray[np.float32]:
    """(U, G + 1) mean taste by genre, scaled to mean 0 and deviation 1 for each user."""
    weight = genres.shares / np.maximum(genres.shares.sum(axis=0), 1e-12)
    mean = taste.astype(np.float64) @ weight
    centered = mean - mean.mean(axis=1, keepdims=True)
    spread = np.maximum(centered.std(axis=1, keepdims=True), 1e-12)
    return np.asarray(centered / spread, dtype=np.float32)
