"""The click world of a simulated log: exact click probabilities of any list.

`world.npz` in the folder of the log is for evaluation only: neither `read_log` nor
`build_log_tables` opens it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.data.errors import DataConfigError
from model.data.simulation.response_models.response_model import PresentedLists, UserResponse
from model.data.simulation.response_models.response_registry import (
    build_response_model,
    response_form,
    response_parameters,
)
from model.data.simulation.world_attributes import (
    FloatArray,
    ItemGenres,
    ItemIndices,
    WorldAttributes,
)

WORLD_NPZ = "world.npz"
_CHUNK = 65_536  # lists at once, of up to `_CHUNK_SLOTS` slots: bounds the memory of (L, M, M)
_CHUNK_SLOTS = 10


@dataclass(frozen=True)
class ClickWorld:
    """Users, items, hidden tastes and the response model.

    user_ids, item_ids: in the order of users.parquet and items.parquet, as in LogTables.
    taste: (U, I) float32, standardized.
    attributes: of users and items.
    """

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    taste: NDArray[np.float32]
    attributes: WorldAttributes
    response: UserResponse

    @property
    def form(self) -> str:
        """Name of the response model."""
        return response_form(self.response)

    def present(self, user_index: ItemIndices, item_indices: ItemIndices) -> PresentedLists:
        """Lists (L, M) shown to users (L,), as the response model reads them."""
        taste = self.taste[user_index[:, None], item_indices]
        return PresentedLists(user_index, item_indices, taste, self.attributes)

    def click_probabilities(
        self, user_index: int | ItemIndices, item_indices: ItemIndices
    ) -> FloatArray:
        """Exact click probability of every slot.

        Args:
            user_index: one user for all lists, or (L,) rows of the users.
            item_indices: (L, M) rows of the items, for any M.

        Returns:
            (L, M) float.
        """
        users = np.broadcast_to(np.asarray(user_index), len(item_indices))
        out = np.empty(item_indices.shape, dtype=np.float64)
        slots = max(item_indices.shape[1], _CHUNK_SLOTS)
        chunk = max(1, _CHUNK * _CHUNK_SLOTS**2 // slots**2)
        for first in range(0, len(out), chunk):
            part = slice(first, first + chunk)
            lists = self.present(users[part], item_indices[part])
            out[part] = self.response.click_probabilities(lists)
        return out

    def expected_clicks(
        self, user_index: int | ItemIndices, item_indices: ItemIndices
    ) -> FloatArray:
        """(L,) float64 expected clicks of each list, its true value."""
        return np.asarray(self.click_probabilities(user_index, item_indices).sum(axis=1))

    def sample_clicks(
        self, user_index: ItemIndices, item_indices: ItemIndices, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """(L, M) int8 clicks, drawn once for each list."""
        return self.response.sample_clicks(self.present(user_index, item_indices), rng)


def save_click_world(log_dir: Path, world: ClickWorld) -> None:
    """Write world.npz: name and parameters of the response model, tastes and attributes."""
    attributes = world.attributes
    np.savez_compressed(
        log_dir / WORLD_NPZ,
        allow_pickle=False,
        user_ids=np.asarray(world.user_ids, dtype=np.str_),
        item_ids=np.asarray(world.item_ids, dtype=np.str_),
        taste=world.taste,
        genres=attributes.genres.matrix.astype(np.float32),
        log_price=attributes.log_price,
        recent_genres=attributes.recent_genres,
        genre_affinity=attributes.genre_affinity,
        segment=attributes.segment,
        form=np.asarray(world.form),
        parameters=np.asarray(json.dumps(response_parameters(world.response))),
    )


def load_click_world(log_dir: Path) -> ClickWorld:
    """Read world.npz.

    Raises:
        DataConfigError: the log has no world.npz, so it is not simulated, or an older one.
    """
    path = log_dir / WORLD_NPZ
    if not path.exists():
        raise DataConfigError(
            file=str(path), key="-", rule="no such file: this log is not simulated"
        )
    with np.load(path, allow_pickle=False) as file:
        if "segment" not in file:
            raise DataConfigError(
                file=str(path), key="segment", rule="is missing: build this log again"
            )
        return ClickWorld(
            user_ids=file["user_ids"].tolist(),
            item_ids=file["item_ids"].tolist(),
            taste=file["taste"],
            attributes=WorldAttributes(
                genres=ItemGenres(file["genres"]),
                log_price=file["log_price"],
                recent_genres=file["recent_genres"],
                genre_affinity=file["genre_affinity"],
                segment=file["segment"],
            ),
            response=build_response_model(str(file["form"]), json.loads(str(file["parameters"]))),
        )
