"""Repetition: genres that the user saw recently, before or in this list, appeal less."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.probabilities import draw_independent, sigmoid, sum_above
from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class RepetitionResponse:
    """Appeal falls with the logarithm of how often a genre was seen; it counts past and list.

    b_jg is the share of genre g among the genres of item j.
    n_jg = history_weight h_g + list_weight (sum over i above j of b_ig)
    P(click at j) = sigmoid(taste_weight s_j - repetition_weight sum over g of b_jg log(1 + n_jg)
                    - offset) / (1 + decay j)
    h_g is the static profile `WorldAttributes.recent_genres`: the mean genre shares of the items
    that the user saw before the log. It does not grow with the simulated lists.
    """

    item_fields: ClassVar[Collection[str]] = ()

    taste_weight: float = 0.9
    repetition_weight: float = 2.0
    history_weight: float = 8.0
    list_weight: float = 3.0
    offset: float = 2.2
    decay: float = 0.15

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities; slots are independent."""
        shares = lists.genre_shares
        history = lists.attributes.recent_genres[lists.users][:, None, :]
        seen = self.history_weight * history + self.list_weight * sum_above(shares)
        repetition = (shares * np.log1p(seen)).sum(axis=2)
        logit = self.taste_weight * lists.taste - self.repetition_weight * repetition
        j = np.arange(lists.taste.shape[1])
        return sigmoid(logit - self.offset) / (1.0 + self.decay * j)

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks."""
        return draw_independent(self.click_probabilities(lists), rng)
