"""Columns, timestamps and fields that all simulated logs share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from model.data.log.log_writer import list_column, take_ids
from model.data.log.ragged import IntArray
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.ground_truth import ClickWorld
from model.data.simulation.response_models.response_model import PRICE_FIELD
from model.data.simulation.simulated_requests import SimulatedRequests

PRICE_SCHEMA = """[[field]]
name = "price"
scope = "item"
kind = "numeric"
buckets = "quantile:16"

"""
START_MS, DAY_MS = 1_577_836_800_000, 86_400_000  # 2020-01-01


def draw_timestamps(config: ClickWorldConfig, rng: np.random.Generator) -> IntArray:
    """(R,) timestamps in ms of all requests, ascending."""
    drawn = rng.integers(0, config.days * DAY_MS, config.total_lists)
    return np.asarray(np.sort(drawn) + START_MS)


def shows_price(world: ClickWorld) -> bool:
    """Whether the log shows the price of the items, because users react to it."""
    return PRICE_FIELD in world.response.item_fields


def impression_columns(
    world: ClickWorld, requests: SimulatedRequests, timestamps: IntArray, first: int
) -> dict[str, pa.Array]:
    """Columns of impressions; they hold nothing of the taste. `first` numbers the requests."""
    count, width = requests.candidates.shape
    n, m = np.full(count, width), np.full(count, requests.shown.shape[1])
    items = np.take_along_axis(requests.candidates, requests.shown, axis=1)
    item_ids = list(world.item_ids)
    return {
        "request_id": pa.array([f"w{first + i:07d}" for i in range(count)]),
        "user_id": take_ids(list(world.user_ids), requests.user),
        "timestamp": pa.array(timestamps, pa.int64()),
        "candidates": list_column(take_ids(item_ids, requests.candidates), n),
        "upstream_scores": list_column(requests.upstream_scores.ravel(), n),
        "shown": list_column(take_ids(item_ids, items), m),
        "clicks": list_column(requests.clicks.ravel(), m),
        "conversions": pa.nulls(count, pa.list_(pa.int8())),
    }
