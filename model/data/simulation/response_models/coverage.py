"""Coverage: the user comes with one need and takes the first item that meets it."""

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
class CoverageResponse:
    """Intent-aware cascade: a list is worth the probability that it meets the user's need.

    The need is a genre g with probability softmax(sharpness affinity_g) over the user's genres.
    P(item j meets need g) = m_jg sigmoid(taste_weight s_j - offset), m_jg = 1 if j has genre g
    P(click at j) = sum over g of P(g) patience^j P(j meets g) prod over i above j of
                    (1 - P(i meets g))
    """

    item_fields: ClassVar[Collection[str]] = ()

    sharpness: float = 1.0
    taste_weight: float = 1.0
    offset: float = 1.6
    patience: float = 0.9

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities; a list sums to at most 1."""
        meets = (lists.genre_shares > 0) * self._attraction(lists)[:, :, None]
        left = np.ones((len(meets), meets.shape[2]))
        met = np.empty_like(meets)
        for j in range(meets.shape[1]):
            met[:, j] = left * meets[:, j]
            left = (left - met[:, j]) * self.patience
        return np.asarray((met * self._needs(lists)[:, None, :]).sum(axis=2))

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8, at most one click a list."""
        return draw_at_most_one(self.click_probabilities(lists), rng)

    def _attraction(self, lists: PresentedLists) -> FloatArray:
        return sigmoid(self.taste_weight * lists.taste.astype(np.float64) - self.offset)

    def _needs(self, lists: PresentedLists) -> FloatArray:
        """(L, G + 1) probability of each need."""
        affinity = lists.attributes.genre_affinity[lists.users].astype(np.float64)
        weight = np.exp(self.sharpness * affinity)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))
