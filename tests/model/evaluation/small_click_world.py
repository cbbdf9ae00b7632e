"""A toy log with a click world, and list spaces that are small enough to enumerate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.config.pipeline_config import PipelineConfig
from model.data.simulation.ground_truth import ClickWorld, save_click_world
from model.data.simulation.response_models.listwise import ListwiseResponse
from model.data.simulation.world_attributes import ItemGenres
from model.data.tables.table_cache import load_log_tables
from model.evaluation.benchmark.benchmark_scenario import Scenario
from tests.model.data.simulation.small_world import small_attributes
from tests.toy_log import write_toy_log

CANDIDATES, SLOTS = 5, 3

NLGR_CONFIG = Path("model/config/presets/nlgr.toml")


def small_scenario(folder: Path) -> Scenario:
    """A scenario whose log and `world.npz` are written to the folder."""
    log = write_toy_log(
        folder, requests=150, users=12, items=20, candidates=CANDIDATES, slots=SLOTS, ragged=False
    )
    tables = load_log_tables(log)
    rng = np.random.default_rng(7)
    users, items = tables.users.ids, tables.items.ids
    world = ClickWorld(
        user_ids=list(users),
        item_ids=list(items),
        taste=rng.normal(size=(len(users), len(items))).astype(np.float32),
        attributes=small_attributes(
            len(users), ItemGenres(rng.integers(2, size=(len(items), 3)).astype(np.float64))
        ),
        response=ListwiseResponse(),
    )
    save_click_world(log, world)
    return Scenario(
        name="small",
        title="small",
        log=log,
        fingerprint=tables.fingerprint,
        config=PipelineConfig(),
        published_config=PipelineConfig.from_toml(NLGR_CONFIG),
    )
