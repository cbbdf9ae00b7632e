"""Mixture: each user has a latent kind with a response model of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from model.config.toml_reader import STRICT_CONFIG
from model.data.simulation.response_models.cascade import CascadeResponse
from model.data.simulation.response_models.nested_choice import NestedChoiceResponse
from model.data.simulation.response_models.response_model import PresentedLists, UserResponse
from model.data.simulation.world_attributes import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class MixtureResponse:
    """A share of the users chooses among the items of the list, the others read from the top.

    A user with `WorldAttributes.segment` below choice_share answers by `NestedChoiceResponse`,
    every other user by `CascadeResponse`. The log does not show the kind.
    """

    item_fields: ClassVar[Collection[str]] = ()

    choice_share: float = 0.5
    outside: float = 3.8
    cascade_offset: float = 3.4
    boredom: float = 0.3

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) exact click probabilities of the kind of each user."""
        out = np.empty(lists.taste.shape)
        for rows, model in self._kinds(lists):
            out[rows] = model.click_probabilities(lists.take(rows))
        return out

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks."""
        out = np.empty(lists.taste.shape, dtype=np.int8)
        for rows, model in self._kinds(lists):
            out[rows] = model.sample_clicks(lists.take(rows), rng)
        return out

    def _kinds(self, lists: PresentedLists) -> list[tuple[NDArray[np.bool_], UserResponse]]:
        """Rows of the lists (L,) of each kind, with its response model."""
        chooses = lists.attributes.segment[lists.users] < self.choice_share
        reads = CascadeResponse(offset=self.cascade_offset, boredom=self.boredom)
        return [(chooses, NestedChoiceResponse(outside=self.outside)), (~chooses, reads)]
