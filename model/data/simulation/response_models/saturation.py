"""Saturation: the clicks of a genre are concave in what the whole page shows of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import draw_independent, sigmoid
from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class SaturationResponse:
    """Each genre has a limited demand, which its items anywhere on the page share.

    a_j = sigmoid(taste_weight s_j - offset) / (1 + decay j); b_jg is the share of genre g
    A_g = sum over j of b_jg a_j
    P(click at j) = a_j sum over g of b_jg demand (1 - exp(-A_g / demand)) / A_g
    """

    item_fields: ClassVar[Collection[str]] = ()

    taste_weight: float = 1.0
    offset: float = 2.6
    decay: float = 0.1
    demand: float = 0.1

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities; slots are independent."""
        j = np.arange(lists.taste.shape[1])
        own = sigmoid(self.taste_weight * lists.taste - self.offset) / (1.0 + self.decay * j)
        total = (lists.genre_shares * own[:, :, None]).sum(axis=1, keepdims=True)
        filled = np.maximum(total / self.demand, 1e-12)
        met = (lists.genre_shares * -np.expm1(-filled) / filled).sum(axis=2)
        return np.asarray(own * met)

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks."""
        return draw_independent(self.click_probabilities(lists), rng)
