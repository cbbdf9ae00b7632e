"""A small click world with any response model."""

from __future__ import annotations

import numpy as np

from model.data.simulation.response_models.response_model import PresentedLists
from model.data.simulation.world_attributes import (
    ItemGenres,
    WorldAttributes,
    draw_world_attributes,
)

GENRES = ItemGenres(
    np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]], dtype=np.float32)
)


def small_attributes(users: int = 3, genres: ItemGenres = GENRES) -> WorldAttributes:
    """Attributes of a few users and the items of `genres`."""
    rng = np.random.default_rng(4)
    items = len(genres.matrix)
    recent = [rng.permutation(items)[:u] for u in range(users)]  # the first user saw nothing
    return draw_world_attributes(genres, rng.normal(size=(users, items)), recent, seed=0)


def present(
    taste: np.ndarray, items: np.ndarray, users: np.ndarray | None = None
) -> PresentedLists:
    """Lists of the items of `GENRES`; by default all are shown to user 1."""
    rows = np.ones(len(items), dtype=np.int64) if users is None else users
    return PresentedLists(rows, items, taste, small_attributes())


def random_lists(count: int, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Tastes and items (count, slots) of lists without repeated items."""
    rng = np.random.default_rng(0)
    items = np.stack([rng.permutation(6)[:slots] for _ in range(count)])
    return rng.normal(size=items.shape), items
