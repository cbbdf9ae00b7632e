"""Writes a simulated log with fresh items each day, whose counters are the signal.

Every item is a copy of an ML-100K item, lives for a few days and has no field that describes it.
Its counters are computed from the simulated lists in time order; they are refreshed at full hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from model.data.log.log_reader import ITEMS_PARQUET, SCHEMA_TOML, USERS_PARQUET
from model.data.log.log_writer import list_column, write_impressions
from model.data.log.ragged import IntArray
from model.data.movielens.ml100k import MovieLensData
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.ground_truth import ClickWorld, save_click_world
from model.data.simulation.response_models.response_model import PRICE_FIELD
from model.data.simulation.simulated_columns import (
    DAY_MS,
    PRICE_SCHEMA,
    START_MS,
    draw_timestamps,
    impression_columns,
    shows_price,
)
from model.data.simulation.simulated_requests import (
    SimulatedRequests,
    simulate_requests,
    systematic_upstream_bias,
)
from model.data.simulation.world_attributes import ItemGenres

FRESH_ITEMS_SCHEMA = Path(__file__).parent / "fresh_items_schema.toml"
HOUR_MS = 3_600_000
PRIOR_IMPRESSIONS, PRIOR_CLICK_RATE = 20.0, 0.05  # of the smoothed click rate
_CATALOG_STREAM = 4  # number of the random stream of items and births


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshItems:
    """The items of the log, in the order of their birth.

    base: (K,) rows of the ML-100K items. birth_ms: (K,) timestamps. life_ms: how long each lives.
    """

    base: IntArray
    birth_ms: IntArray
    life_ms: int

    def alive(self, timestamps: IntArray) -> NDArray[np.bool_]:
        """(R, K) whether an item may be a candidate at a timestamp (R,)."""
        age = timestamps[:, None] - self.birth_ms
        return (age >= 0) & (age < self.life_ms)


class SimulatedCounters:
    """Impressions and clicks of each item, as they stood at the last full hour."""

    def __init__(self, items: int) -> None:
        self.impressions = np.zeros(items, dtype=np.int64)
        self.clicks = np.zeros(items, dtype=np.int64)

    def add(self, requests: SimulatedRequests) -> None:
        """Count the lists of an hour that has passed."""
        shown = np.take_along_axis(requests.candidates, requests.shown, axis=1)
        np.add.at(self.impressions, shown, 1)
        np.add.at(self.clicks, shown, requests.clicks)

    def fields(self, items: IntArray, age_ms: IntArray) -> dict[str, NDArray[np.float64]]:
        """Candidate fields of items (R, N) with their ages: one value for each candidate."""
        impressions, clicks = self.impressions[items], self.clicks[items]
        prior_clicks = PRIOR_IMPRESSIONS * PRIOR_CLICK_RATE
        return {
            "impressions_so_far": impressions.astype(np.float64),
            "clicks_so_far": clicks.astype(np.float64),
            "smoothed_ctr": (clicks + prior_clicks) / (impressions + PRIOR_IMPRESSIONS),
            "age_hours": age_ms / HOUR_MS,
        }


def write_fresh_items_log(
    data: MovieLensData, world: ClickWorld, config: ClickWorldConfig, log_dir: Path
) -> None:
    """Write all files of the log but log.toml; `world` has the ML-100K items."""
    popularity = np.bincount(data.ratings.item, minlength=len(data.item_ids)).astype(np.float64)
    activity = np.sqrt(np.bincount(data.ratings.user, minlength=len(data.user_ids)))
    items = draw_fresh_items(popularity, config)
    fresh_world = with_fresh_items(world, items, config)
    timestamps = draw_timestamps(config, np.random.default_rng((config.seed, _CATALOG_STREAM, 1)))
    hours = simulate_hours(fresh_world, items, config, timestamps, activity / activity.sum())
    first = 0
    with tqdm(total=config.total_lists, desc="lists", unit="") as bar:
        for number, (requests, columns) in enumerate(hours):
            chunk = timestamps[first : first + len(requests.user)]
            written = impression_columns(fresh_world, requests, chunk, first) | columns
            write_impressions(log_dir, number, written)
            first += len(chunk)
            bar.update(len(chunk))
    pq.write_table(_item_table(fresh_world), log_dir / ITEMS_PARQUET)
    pq.write_table(data.user_table(), log_dir / USERS_PARQUET)
    schema = FRESH_ITEMS_SCHEMA.read_text(encoding="utf-8")
    if shows_price(world):
        schema = PRICE_SCHEMA + schema
    (log_dir / SCHEMA_TOML).write_text(schema, encoding="utf-8")
    save_click_world(log_dir, fresh_world)


def draw_fresh_items(popularity: NDArray[np.float64], config: ClickWorldConfig) -> FreshItems:
    """Items drawn by popularity, born at any time from one life before the log to its end."""
    rng = np.random.default_rng((config.seed, _CATALOG_STREAM))
    life_ms = round(config.item_life_days * DAY_MS)
    span_ms = config.days * DAY_MS + life_ms
    count = round(config.fresh_items_per_day * span_ms / DAY_MS)
    weight = popularity**config.popularity_power
    return FreshItems(
        base=rng.choice(len(popularity), count, p=weight / weight.sum()),
        birth_ms=np.sort(rng.integers(0, span_ms, count)) + START_MS - life_ms,
        life_ms=life_ms,
    )


def with_fresh_items(world: ClickWorld, items: FreshItems, config: ClickWorldConfig) -> ClickWorld:
    """The world whose items are the fresh ones; each has a price of its own."""
    rng = np.random.default_rng((config.seed, _CATALOG_STREAM, 2))
    known = world.attributes
    attributes = replace(
        known,
        genres=ItemGenres(known.genres.matrix[items.base]),
        log_price=rng.standard_normal((len(items.base),), dtype=np.float32),
    )
    return replace(
        world,
        item_ids=[f"{world.item_ids[row]}-{copy}" for copy, row in enumerate(items.base)],
        taste=world.taste[:, items.base],
        attributes=attributes,
    )


def simulate_hours(
    world: ClickWorld,
    items: FreshItems,
    config: ClickWorldConfig,
    timestamps: IntArray,
    activity: NDArray[np.float64],
) -> Iterator[tuple[SimulatedRequests, dict[str, pa.Array]]]:
    """Yield the requests of each hour with lists, and their counter columns.

    Counters hold lists of earlier hours only: none of them is later than the request.
    """
    counters = SimulatedCounters(len(items.base))
    upstream_bias = systematic_upstream_bias(world.taste.shape, config)
    hour = timestamps // HOUR_MS
    bounds = [0, *(np.flatnonzero(np.diff(hour)) + 1).tolist(), len(hour)]
    streams = np.random.default_rng(config.seed).spawn(len(bounds) - 1)
    for rng, first, end in zip(streams, bounds[:-1], bounds[1:], strict=True):
        at = timestamps[first:end]
        requests = simulate_requests(
            world,
            rng.choice(len(activity), len(at), p=activity),
            config,
            rng,
            popularity=np.ones(len(items.base)),
            upstream_bias=upstream_bias,
            available=items.alive(at),
        )
        age_ms = at[:, None] - items.birth_ms[requests.candidates]
        fields = counters.fields(requests.candidates, age_ms)
        width = np.full(len(at), config.candidates)
        yield requests, {name: list_column(v.ravel(), width) for name, v in fields.items()}
        counters.add(requests)


def _item_table(world: ClickWorld) -> pa.Table:
    table = pa.table({"item_id": list(world.item_ids)})
    if shows_price(world):
        table = table.append_column(PRICE_FIELD, pa.array(world.attributes.prices()))
    return table
