"""Decoy: prices above set an anchor, the middle price gains, patience is limited."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import (
    draw_reached,
    reach_probability,
    sigmoid,
    sum_above,
)
from model.data.simulation.response_models.response_model import PRICE_FIELD, PresentedLists
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class DecoyResponse:
    """An item is judged by its price relative to the prices seen before, and to the whole list.

    p_j is the standardized log price. The anchor of slot j mixes the first price and the mean of
    the prices above; the first slot has anchor 0.
    P(click at j | seen) = sigmoid(taste_weight s_j - loss_weight max(p_j - anchor_j, 0)
                           + gain_weight max(anchor_j - p_j, 0)
                           + compromise_weight exp(-(p_j - median p)^2) - offset)
    P(seen j+1 | seen j) = patience
    """

    item_fields: ClassVar[Collection[str]] = (PRICE_FIELD,)

    taste_weight: float = 1.0
    loss_weight: float = 0.6
    gain_weight: float = 0.4
    first_share: float = 0.5
    compromise_weight: float = 1.0
    offset: float = 4.6
    patience: float = 0.8

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities: seen times attractive."""
        return reach_probability(self._stay(lists)) * self._attraction(lists)

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks among the slots that the user reaches."""
        reached = draw_reached(self._stay(lists), rng)
        return (reached & (rng.random(reached.shape) < self._attraction(lists))).astype(np.int8)

    def _stay(self, lists: PresentedLists) -> FloatArray:
        return np.full(lists.taste.shape, self.patience)

    def _attraction(self, lists: PresentedLists) -> FloatArray:
        price = lists.log_price
        gap = price - self._anchor(price)
        middle = np.exp(-((price - np.median(price, axis=1, keepdims=True)) ** 2))
        return sigmoid(
            self.taste_weight * lists.taste
            - self.loss_weight * np.maximum(gap, 0.0)
            + self.gain_weight * np.maximum(-gap, 0.0)
            + self.compromise_weight * middle
            - self.offset
        )

    def _anchor(self, price: FloatArray) -> FloatArray:
        seen = np.maximum(np.arange(price.shape[1]), 1)
        anchor = self.first_share * price[:, :1] + (1 - self.first_share) * sum_above(price) / seen
        anchor[:, 0] = 0.0
        return anchor
