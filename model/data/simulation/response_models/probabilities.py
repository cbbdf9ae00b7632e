"""The logistic function, examination and draws of clicks that response models share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.data.simulation.world_attributes import FloatArray


def sigmoid(x: FloatArray) -> FloatArray:
    """The logistic function."""
    return 1.0 / (1.0 + np.exp(-x))


def sum_above(values: FloatArray) -> FloatArray:
    """(L, M, ...) sum of the values in the slots above each slot; 0 in the first."""
    return np.asarray(np.cumsum(values, axis=1) - values)


def similar_items_above(similarity: FloatArray) -> FloatArray:
    """(L, M) summed similarity (L, M, M) to the items above each slot."""
    above = np.tri(similarity.shape[1], k=-1)
    return np.asarray((similarity * above).sum(axis=2))


def reach_probability(stay: FloatArray) -> FloatArray:
    """(L, M) probability of reaching each slot, for the probability of going on after each."""
    first = np.ones((len(stay), 1))
    return np.concatenate([first, np.cumprod(stay[:, :-1], axis=1)], axis=1)


def draw_reached(stay: FloatArray, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(L, M) whether the user reaches each slot; no user comes back after leaving."""
    goes_on = rng.random(stay.shape) < stay
    first = np.ones((len(stay), 1), dtype=bool)
    return np.concatenate([first, np.logical_and.accumulate(goes_on[:, :-1], axis=1)], axis=1)


def draw_independent(probability: FloatArray, rng: np.random.Generator) -> NDArray[np.int8]:
    """(L, M) int8 clicks, each slot for itself."""
    return (rng.random(probability.shape) < probability).astype(np.int8)


def draw_at_most_one(probability: FloatArray, rng: np.random.Generator) -> NDArray[np.int8]:
    """(L, M) int8: at most one click a list; the rest of the probability is no click."""
    upper = np.cumsum(probability, axis=1)
    draw = rng.random((len(probability), 1))
    return ((draw < upper) & (draw >= upper - probability)).astype(np.int8)
