"""Matrix factorization of ratings by alternating least squares, in plain numpy.

Gives the hidden taste of a click world; no net is trained on it.
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
    residual = np.where(rated > 0, stars - mean, 0.0)
    weight = config.bias_weight
    item_bias = residual.sum(axis=0) / (rated.sum(axis=0) + weight)
    residual = np.where(rated > 0, residual - item_bias, 0.0)
    user_bias = residual.sum(axis=1) / (rated.sum(axis=1) + weight)
    residual = np.where(rated > 0, residual - user_bias[:, None], 0.0)
    item_factors = np.random.default_rng(seed).normal(0.0, 0.1, (item_count, config.rank))
    for _ in range(config.iterations):
        user_factors = _solve(residual, rated, item_factors, config.l2)
        item_factors = _solve(residual.T, rated.T, user_factors, config.l2)
    return mean + user_bias[:, None] + item_bias + user_factors @ item_factors.T


def standardize(values: FloatArray) -> FloatArray:
    """The matrix scaled to mean 0 and standard deviation 1."""
    return np.asarray((values - values.mean()) / values.std())


def _solve(residual: FloatArray, rated: FloatArray, other: FloatArray, l2: float) -> FloatArray:
    """(n, rank) least-squares factors for fixed factors `other` (m, rank).

    residual, rated: (n, m).
    """
    rank = other.shape[1]
    outer = (other[:, :, None] * other[:, None, :]).reshape(len(other), rank * rank)
    normal = (rated @ outer).reshape(-1, rank, rank) + l2 * np.eye(rank)
    return np.asarray(np.linalg.solve(normal, (residual @ other)[..., None])[..., 0])
