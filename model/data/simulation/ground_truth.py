"""The click world of a simulated log: exact click probabilities of any list.

`world.npz` in the folder of the log is for evaluation only: neither `read_log` nor
`build_log_tables` opens it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.data.errors import DataConfigError
from model.data.simulation.click_models import (
    CASCADE,
    LISTWISE,
    CascadeClickModel,
    FloatArray,
    ItemGenres,
    ItemIndices,
    ListwiseClickModel,
)

WORLD_NPZ = "world.npz"
_FORMS: dict[str, type[ListwiseClickModel] | type[CascadeClickModel]] = {
    LISTWISE: ListwiseClickModel,
    CASCADE: CascadeClickModel,
}
_CHUNK = 65_536  # lists at once: bounds the memory of (L, M, M)


@dataclass(frozen=True)
class ClickWorld:
    """Users, items, hidden tastes and the click model.

    user_ids, item_ids: in the order of users.parquet and items.parquet, as in LogTables.
    taste: (U, I) float32, standardized.
    genres: of the items.
    """

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    taste: NDArray[np.float32]
    genres: ItemGenres
    click_model: ListwiseClickModel | CascadeClickModel

    @property
    def form(self) -> str:
        """`listwise` or `cascade`."""
        return LISTWISE if isinstance(self.click_model, ListwiseClickModel) else CASCADE

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
        for first in range(0, len(out), _CHUNK):
            part = slice(first, first + _CHUNK)
            items = item_indices[part]
            taste = self.taste[users[part, None], items]
            out[part] = self.click_model.click_probabilities(taste, items, self.genres)
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
        taste = self.taste[user_index[:, None], item_indices]
        return self.click_model.sample_clicks(taste, item_indices, self.genres, rng)


def save_click_world(log_dir: Path, world: ClickWorld) -> None:
    """Write world.npz."""
    np.savez_compressed(
        log_dir / WORLD_NPZ,
        allow_pickle=False,
        user_ids=np.asarray(world.user_ids, dtype=np.str_),
        item_ids=np.asarray(world.item_ids, dtype=np.str_),
        taste=world.taste,
        genres=world.genres.matrix.astype(np.float32),
        cosine=world.genres.cosine_similarity,
        form=np.asarray(world.form),
        parameters=np.asarray(json.dumps(asdict(world.click_model))),
    )


def load_click_world(log_dir: Path) -> ClickWorld:
    """Read world.npz.

    Raises:
        DataConfigError: the log has no world.npz, so it is not simulated.
    """
    path = log_dir / WORLD_NPZ
    if not path.exists():
        raise DataConfigError(
            file=str(path), key="-", rule="no such file: this log is not simulated"
        )
    with np.load(path, allow_pickle=False) as file:
        click_model_type = _FORMS[str(file["form"])]
        return ClickWorld(
            user_ids=file["user_ids"].tolist(),
            item_ids=file["item_ids"].tolist(),
            taste=file["taste"],
            genres=ItemGenres(file["genres"]),
            click_model=click_model_type(**json.loads(str(file["parameters"]))),
        )
