"""A toy log whose users answer by a known world, with spaces small enough to look through."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.config import Config
from model.data.responses import Genres, Listwise
from model.data.tables import load_tables
from model.data.worlds import ClickWorld, write_world
from model.offline_report.comparison.problems import Problem
from tests.logs import write_toy_log

CANDIDATES, SLOTS = 5, 3

NLGR = Path("model/configs/nlgr.toml")


def world_problem(folder: Path) -> Problem:
    """Its log and `world.npz` are written into the folder."""
    log = write_toy_log(
        folder, requests=150, users=12, items=20, candidates=CANDIDATES, slots=SLOTS, ragged=False
    )
    tables = load_tables(log)
    rng = np.random.default_rng(7)
    users, items = tables.users.ids, tables.items.ids
    world = ClickWorld(
        user_ids=list(users),
        item_ids=list(items),
        taste=rng.normal(size=(len(users), len(items))).astype(np.float32),
        genres=Genres(rng.integers(2, size=(len(items), 3)).astype(np.float64)),
        response=Listwise(),
    )
    write_world(log, world)
    return Problem(
        name="small",
        title="small",
        log=log,
        fingerprint=tables.fingerprint,
        config=Config(),
        published=Config.read(NLGR),
    )
