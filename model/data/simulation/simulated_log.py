"""Writes a simulated log: users and items of ML-100K, simulated lists and clicks.

The log is marked as simulated. The response model is written to `world.npz`, for evaluation only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from model.data.log.log_info import SPLIT_BY_TIME, LogInfo, write_log_info
from model.data.log.log_reader import ITEMS_PARQUET, SCHEMA_TOML, USERS_PARQUET
from model.data.log.log_writer import replace_log_dir, write_impressions
from model.data.movielens.ml100k import MovieLensData, read_ml100k
from model.data.simulation.click_world_building import build_click_world
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.fresh_items_log import write_fresh_items_log
from model.data.simulation.ground_truth import ClickWorld, save_click_world
from model.data.simulation.response_models.response_model import PRICE_FIELD
from model.data.simulation.simulated_columns import (
    PRICE_SCHEMA,
    draw_timestamps,
    impression_columns,
    shows_price,
)
from model.data.simulation.simulated_requests import simulate_requests, systematic_upstream_bias

CLICK_WORLD_SCHEMA = Path(__file__).parent / "click_world_schema.toml"
_CHUNK = 4_096  # lists drawn at once, each chunk from its own random stream


def write_click_world_log(wheel: Path, log_dir: Path, config: ClickWorldConfig) -> int:
    """Write the simulated log and its world; return the number of requests."""
    data = read_ml100k(wheel)
    world = build_click_world(data, config)
    with replace_log_dir(log_dir) as fresh:
        if config.fresh_items_per_day:
            write_fresh_items_log(data, world, config, fresh)
        else:
            _write_static_log(data, world, config, fresh)
        write_log_info(fresh, _info(config))
    return config.total_lists


def _write_static_log(
    data: MovieLensData, world: ClickWorld, config: ClickWorldConfig, fresh: Path
) -> None:
    """Write all files of a log whose items never change."""
    popularity = np.bincount(data.ratings.item, minlength=len(data.item_ids)).astype(np.float64)
    activity = np.sqrt(np.bincount(data.ratings.user, minlength=len(data.user_ids)))
    upstream_bias = systematic_upstream_bias(world.taste.shape, config)
    streams = np.random.default_rng(config.seed).spawn(-(-config.total_lists // _CHUNK) + 1)
    timestamps = draw_timestamps(config, streams[0])
    with tqdm(total=config.total_lists, desc="lists", unit="") as bar:
        for number, rng in enumerate(streams[1:]):
            chunk = timestamps[number * _CHUNK : (number + 1) * _CHUNK]
            user = rng.choice(len(activity), len(chunk), p=activity / activity.sum())
            requests = simulate_requests(
                world,
                user,
                config,
                rng,
                popularity=popularity,
                upstream_bias=upstream_bias,
            )
            columns = impression_columns(world, requests, chunk, number * _CHUNK)
            write_impressions(fresh, number, columns)
            bar.update(len(chunk))
    items = data.item_table().append_column("popularity", pa.array(popularity))
    if shows_price(world):
        items = items.append_column(PRICE_FIELD, pa.array(world.attributes.prices()))
    pq.write_table(items, fresh / ITEMS_PARQUET)
    pq.write_table(data.user_table(), fresh / USERS_PARQUET)
    (fresh / SCHEMA_TOML).write_text(_schema_text(world), encoding="utf-8")
    save_click_world(fresh, world)


def _schema_text(world: ClickWorld) -> str:
    """schema.toml of the log: the fields of ML-100K, and the price where it is shown."""
    text = CLICK_WORLD_SCHEMA.read_text(encoding="utf-8")
    return PRICE_SCHEMA + text if shows_price(world) else text


def _info(config: ClickWorldConfig) -> LogInfo:
    name = f"{config.form}-world-{config.slots}of{config.candidates}"
    return LogInfo(
        name=name, split=SPLIT_BY_TIME, shares=config.shares, list_size=config.slots, simulated=True
    )
