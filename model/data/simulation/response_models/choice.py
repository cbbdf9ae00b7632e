"""Choice: at most one click a list, multinomial logit with an outside option."""

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
class ChoiceResponse:
    """The user takes one item of the list or the outside option.

    w_j = exp(taste_weight s_j) / (1 + decay j)
    P(click at j) = w_j / (exp(outside) + sum over l of w_l)
    """

    item_fields: ClassVar[Collection[str]] = ()

    taste_weight: float = 1.2
    outside: float = 4.6
    decay: float = 0.25

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities; a list sums to less than 1."""
        j = np.arange(lists.taste.shape[1])
        weight = np.exp(self.taste_weight * lists.taste) / (1.0 + self.decay * j)
        return weight / (np.exp(self.outside) + weight.sum(axis=1, keepdims=True))

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8, at most one click a list."""
        return draw_at_most_one(self.click_probabilities(lists), rng)
