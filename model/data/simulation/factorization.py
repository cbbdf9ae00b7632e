"""Matrix factorization of ratings by alternating least squares, in plain numpy.

Only the click world's hidden taste comes from here; no net ever sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.movielens.ml100k import Ratings

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorizationConfig:
    """Size and regularization of the factorization."""

    rank: int = 16
    iterations: int = 15
    l2: float = 5.0  # added to the diagonal of every user's and item's normal equations
    bias_weight: float = 10.0  # ratings that a zero bias counts for


def predict_ratings(
    ratings: Ratings, user_count: int, item_count: int, config: FactorizationConfig, seed: int
) -> FloatArray:
    """(U, I) predicted stars: mean + user bias + item bias + factors, fitted to all ratings."""
    stars = np.zeros((user_count, item_count))
    rated = np.zeros((user_count, item_count))
    stars[ratings.user, ratings.item] = ratings.stars
    rated[ratings.user, ratings.item] = 1.0
    mean = stars.sum() / rated.sum()
    rest = np.where(rated > 0, stars - mean, 0.0)
    weight = config.bias_weight
    of_item = rest.sum(axis=0) / (rated.sum(axis=0) + weight)
    rest = np.where(rated > 0, rest - of_item, 0.0)
    of_user = rest.sum(axis=1) / (rated.sum(axis=1) + weight)
    rest = np.where(rated > 0, rest - of_user[:, None], 0.0)
    right = np.random.default_rng(seed).normal(0.0, 0.1, (item_count, config.rank))
    for _ in range(config.iterations):
        left = _solve(rest, rated, right, config.l2)
        right = _solve(rest.T, rated.T, left, config.l2)
    return mean + of_user[:, None] + of_item + left @ right.T


def standardize(values: FloatArray) -> FloatArray:
    """Mean 0 and standard deviation 1 over the whole matrix."""
    return np.asarray((values - values.mean()) / values.std())


def _solve(rest: FloatArray, rated: FloatArray, other: FloatArray, ridge: float) -> FloatArray:
    """Best factors of one side (n, rank), the other side (m, rank) fixed; rest, rated (n, m)."""
    rank = other.shape[1]
    outer = (other[:, :, None] * other[:, None, :]).reshape(len(other), rank * rank)
    normal = (rated @ outer).reshape(-1, rank, rank) + ridge * np.eye(rank)
    return np.asarray(np.linalg.solve(normal, (rest @ other)[..., None])[..., 0])
