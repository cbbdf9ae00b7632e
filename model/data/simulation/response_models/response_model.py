"""The interface of response models and the lists that they read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from model.data.simulation.world_attributes import FloatArray, ItemIndices, WorldAttributes

PRICE_FIELD = "price"


@dataclass(frozen=True)
class PresentedLists:
    """L lists of M items each, shown to one user each.

    users: (L,) rows of the users. items: (L, M) rows of the items.
    taste: (L, M) taste of the user for each item of the list.
    """

    users: ItemIndices
    items: ItemIndices
    taste: FloatArray
    attributes: WorldAttributes

    @cached_property
    def similarity(self) -> FloatArray:
        """(L, M, M) float32 cosine of the genres of the items in two slots."""
        cosine = self.attributes.genres.cosine_similarity
        return np.asarray(cosine[self.items[:, :, None], self.items[:, None, :]])

    @cached_property
    def genre_shares(self) -> FloatArray:
        """(L, M, G + 1) float64 genre shares of the items."""
        return np.asarray(self.attributes.genres.shares[self.items])

    @cached_property
    def log_price(self) -> FloatArray:
        """(L, M) float64 standardized log prices."""
        return self.attributes.log_price[self.items].astype(np.float64)

    def take(self, rows: NDArray[np.bool_] | slice) -> PresentedLists:
        """The lists of a slice, or where `rows` (L,) is True."""
        return PresentedLists(self.users[rows], self.items[rows], self.taste[rows], self.attributes)


class UserResponse(Protocol):
    """How users answer a list; the fields of the frozen dataclass are its parameters.

    item_fields: numeric item fields that the log must show, because users react to them.
    """

    item_fields: ClassVar[Collection[str]]

    def click_probabilities(self, lists: PresentedLists) -> FloatArray:
        """(L, M) float, exact click probability of each slot."""
        ...

    def sample_clicks(self, lists: PresentedLists, rng: np.random.Generator) -> NDArray[np.int8]:
        """(L, M) int8 clicks, drawn once for each list."""
        ...
