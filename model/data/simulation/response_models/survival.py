"""Survival: the hazard of leaving grows with the similar items that the user has seen."""

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
    similar_items_above,
)
from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class SurvivalResponse:
    """The user reads slot by slot; fatigue ends the exposure, as in CAVE (arXiv 2508.02242).

    P(click at j | exposed) = sigmoid(taste_weight s_j - offset)
    P(exposed j+1 | exposed j) = 1 - sigmoid(hazard + fatigue f_j - relief s_j)
    f_j = sum over i above j of cosine(i, j)
    A click changes nothing of the exposure.
    """

    item_fields: ClassVar[Collection[str]] = ()

    taste_weight: float = 0.9
    offset: float = 4.0
    hazard: float = -0.8
    fatigue: float = 4.0
    relief: float = 0.3

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities: exposed times attractive."""
        return reach_probability(self._stay(lists)) * self._attraction(lists)

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks among the slots that the user reaches."""
        reached = draw_reached(self._stay(lists), rng)
        return (reached & (rng.random(reached.shape) < self._attraction(lists))).astype(np.int8)

    def _stay(self, lists: PresentedLists) -> FloatArray:
        fatigue = similar_items_above(lists.similarity)
        return 1.0 - sigmoid(self.hazard + self.fatigue * fatigue - self.relief * lists.taste)

    def _attraction(self, lists: PresentedLists) -> FloatArray:
        return sigmoid(self.taste_weight * lists.taste.astype(np.float64) - self.offset)
