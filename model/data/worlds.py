"""A click world: simulated users whose true answer to any list is known exactly.

Written beside a simulated log as `world.npz` for the offline report: neither `read_log` nor
`prepare` opens it, and nothing in it reaches a net that may be exported (`true_labels.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.data.errors import ConfigError
from model.data.responses import CASCADE, LISTWISE, Cascade, Floats, Genres, Listwise, Places

WORLD = "world.npz"
_FORMS: dict[str, type[Listwise] | type[Cascade]] = {LISTWISE: Listwise, CASCADE: Cascade}
_CHUNK = 65_536  # lists answered at once: bounds the memory of (L, M, M)


@dataclass(frozen=True)
class ClickWorld:
    """Users, items, hidden tastes and how users answer lists.

    user_ids, item_ids: in the order of the log's users.parquet and items.parquet, so that places
        are those of LogTables. taste: (U, I) float32, standardized. genres: of the items.
    """

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    taste: NDArray[np.float32]
    genres: Genres
    response: Listwise | Cascade

    @property
    def form(self) -> str:
        """`listwise` or `cascade`."""
        return LISTWISE if isinstance(self.response, Listwise) else CASCADE

    def click_probabilities(self, user_place: int | Places, item_places: Places) -> Floats:
        """Exact click probability of every slot.

        Args:
            user_place: one user for all lists, or (L,) places.
            item_places: (L, M) places of items; M may be any length.

        Returns:
            (L, M) float.
        """
        users = np.broadcast_to(np.asarray(user_place), len(item_places))
        out = np.empty(item_places.shape, dtype=np.float64)
        for first in range(0, len(out), _CHUNK):
            part = slice(first, first + _CHUNK)
            items = item_places[part]
            taste = self.taste[users[part, None], items]
            out[part] = self.response.probabilities(taste, items, self.genres)
        return out

    def expected_clicks(self, user_place: int | Places, item_places: Places) -> Floats:
        """(L,) expected clicks of each list: its true value."""
        return np.asarray(self.click_probabilities(user_place, item_places).sum(axis=1))

    def draw_clicks(
        self, user_place: Places, item_places: Places, rng: np.random.Generator
    ) -> NDArray[np.int8]:
        """(L, M) clicks of one visit to each list."""
        taste = self.taste[user_place[:, None], item_places]
        return self.response.draw(taste, item_places, self.genres, rng)


def write_world(log_dir: Path, world: ClickWorld) -> None:
    """Write world.npz."""
    np.savez_compressed(
        log_dir / WORLD,
        allow_pickle=False,
        user_ids=np.asarray(world.user_ids, dtype=np.str_),
        item_ids=np.asarray(world.item_ids, dtype=np.str_),
        taste=world.taste,
        genres=world.genres.matrix.astype(np.float32),
        cosine=world.genres.cosine,
        form=np.asarray(world.form),
        parameters=np.asarray(json.dumps(asdict(world.response))),
    )


def load_world(log_dir: Path) -> ClickWorld:
    """Read world.npz; raises ConfigError when the log has none (its feedback is then real)."""
    path = log_dir / WORLD
    if not path.exists():
        raise ConfigError(file=str(path), key="-", rule="no such file: this log is not simulated")
    with np.load(path, allow_pickle=False) as file:
        response = _FORMS[str(file["form"])]
        return ClickWorld(
            user_ids=file["user_ids"].tolist(),
            item_ids=file["item_ids"].tolist(),
            taste=file["taste"],
            genres=Genres(file["genres"]),
            response=response(**json.loads(str(file["parameters"]))),
        )
