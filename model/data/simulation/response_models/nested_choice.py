"""Nested choice: items of one genre are substitutes of each other."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import draw_at_most_one
from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class NestedChoiceResponse:
    """Cross-nested logit with an outside option; the nests are the genres.

    w_j as in `ChoiceResponse`; a_jg is the share of genre g among the genres of item j.
    V_g = (sum over j of (a_jg w_j)^(1 / dissimilarity))^dissimilarity
    P(click at j) = sum over g of P(g) P(j | g)
    P(g) = V_g / (exp(outside) + sum over h of V_h)
    P(j | g) = (a_jg w_j)^(1 / dissimilarity) / V_g^(1 / dissimilarity)
    """

    item_fields: ClassVar[Collection[str]] = ()

    taste_weight: float = 1.2
    outside: float = 3.8
    decay: float = 0.25
    dissimilarity: float = 0.25

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities; a list sums to less than 1."""
        j = np.arange(lists.taste.shape[1])
        weight = np.exp(self.taste_weight * lists.taste) / (1.0 + self.decay * j)
        power = (lists.genre_shares * weight[:, :, None]) ** (1.0 / self.dissimilarity)
        nest = power.sum(axis=1, keepdims=True)  # (L, 1, G + 1)
        value = nest**self.dissimilarity
        nest_share = value / (np.exp(self.outside) + value.sum(axis=2, keepdims=True))
        return np.asarray((power / np.maximum(nest, 1e-300) * nest_share).sum(axis=2))

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8, at most one click a list."""
        return draw_at_most_one(self.click_probabilities(lists), rng)
