"""Writes a simulated log: users and items of ML-100K, simulated lists and clicks.

The log is marked as simulated. The click model is written to `world.npz`, for evaluation only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as pydantic_dataclass
from tqdm import tqdm

from model.config.toml_reader import STRICT_CONFIG
from model.data.log.log_info import SPLIT_BY_TIME, LogInfo, write_log_info
from model.data.log.log_reader import ITEMS_PARQUET, SCHEMA_TOML, USERS_PARQUET
from model.data.log.log_writer import list_column, replace_log_dir, take_ids, write_impressions
from model.data.log.ragged import IntArray
from model.data.movielens.ml100k import MovieLensData, read_ml100k
from model.data.simulation.factorization import FactorizationConfig, predict_ratings, standardize
from model.data.simulation.ground_truth import ClickWorld, save_click_world
from model.data.simulation.response_models.response_model import PRICE_FIELD, UserResponse
from model.data.simulation.response_models.response_registry import (
    LISTWISE,
    build_response_model,
)
from model.data.simulation.world_attributes import (
    RECENT_ITEMS,
    ItemGenres,
    draw_world_attributes,
)

CLICK_WORLD_SCHEMA = Path(__file__).parent / "click_world_schema.toml"
PRICE_SCHEMA = """[[field]]
name = "price"
scope = "item"
kind = "numeric"
buckets = "quantile:16"

"""
START_MS, DAY_MS = 1_577_836_800_000, 86_400_000  # 2020-01-01
_CHUNK = 4_096  # lists drawn at once, each chunk from its own random stream

FloatArray = NDArray[np.float64]


@pydantic_dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class ClickWorldConfig:
    """Settings; presets/click_world_4of12.toml explains each."""

    form: str = LISTWISE
    lists: int = 48_000
    candidates: int = 12
    slots: int = 4
    days: int = 90
    seed: int = 0
    shares: tuple[float, ...] = (0.8, 0.1, 0.1)
    popularity_power: float = 0.75
    taste_pull: float = 0.8
    upstream_weight: float = 0.8
    upstream_noise: float = 0.8
    upstream_bias_share: float = 0.0
    exploration: float = 0.5
    parameters: dict[str, int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.response_model()  # checks the name and the parameters
        if not 1 <= self.slots <= self.candidates:
            raise ValueError(f"needs 1 <= slots={self.slots} <= candidates={self.candidates}")
        if self.lists < 1 or self.days < 1:
            raise ValueError("lists and days are at least 1")
        if not 0.0 <= self.upstream_bias_share <= 1.0:
            raise ValueError(f"upstream_bias_share={self.upstream_bias_share} is not in [0, 1]")

    @property
    def total_lists(self) -> int:
        """Lists of all parts together."""
        return round(self.lists / self.shares[0])

    def response_model(self) -> UserResponse:
        """The response model with its parameters."""
        return build_response_model(self.form, self.parameters)


@dataclass(frozen=True)
class SimulatedRequests:
    """A chunk of C simulated requests.

    user: (C,) rows of the users.
    candidates: (C, N) rows of the items, in upstream order.
    upstream_scores: (C, N) float32, falling.
    shown: (C, M) indices among the candidates.
    clicks: (C, M) int8.
    """

    user: IntArray
    candidates: IntArray
    upstream_scores: NDArray[np.float32]
    shown: IntArray
    clicks: NDArray[np.int8]


def write_click_world_log(wheel: Path, log_dir: Path, config: ClickWorldConfig) -> int:
    """Write the simulated log and its world; return the number of requests."""
    data = read_ml100k(wheel)
    world = build_click_world(data, config)
    popularity = np.bincount(data.ratings.item, minlength=len(data.item_ids)).astype(np.float64)
    activity = np.sqrt(np.bincount(data.ratings.user, minlength=len(data.user_ids)))
    upstream_bias = systematic_upstream_bias(world.taste.shape, config)
    streams = np.random.default_rng(config.seed).spawn(-(-config.total_lists // _CHUNK) + 1)
    timestamps = (
        np.sort(streams[0].integers(0, config.days * DAY_MS, config.total_lists)) + START_MS
    )
    with (
        replace_log_dir(log_dir) as fresh,
        tqdm(total=config.total_lists, desc="lists", unit="") as bar,
    ):
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
            write_impressions(fresh, number, _columns(world, requests, chunk, number * _CHUNK))
            bar.update(len(chunk))
        items = data.item_table().append_column("popularity", pa.array(popularity))
        if shows_price(world):
            items = items.append_column(PRICE_FIELD, pa.array(world.attributes.prices()))
        pq.write_table(items, fresh / ITEMS_PARQUET)
        pq.write_table(data.user_table(), fresh / USERS_PARQUET)
        (fresh / SCHEMA_TOML).write_text(_schema_text(world), encoding="utf-8")
        write_log_info(fresh, _info(config))
        save_click_world(fresh, world)
    return config.total_lists


def build_click_world(data: MovieLensData, config: ClickWorldConfig) -> ClickWorld:
    """Click world whose tastes are fitted to all ratings."""
    stars = predict_ratings(
        data.ratings,
        len(data.user_ids),
        len(data.item_ids),
        FactorizationConfig(),
        config.seed,
    )
    taste = standardize(stars).astype(np.float32)
    genres = ItemGenres(data.genre_matrix.astype(np.float32))
    rated = data.ratings
    recent = [rated.item[rated.user == u][-RECENT_ITEMS:] for u in range(len(data.user_ids))]
    return ClickWorld(
        user_ids=data.user_ids,
        item_ids=data.item_ids,
        taste=taste,
        attributes=draw_world_attributes(genres, taste, recent, config.seed),
        response=config.response_model(),
    )


def shows_price(world: ClickWorld) -> bool:
    """Whether the log shows the price of the items, because users react to it."""
    return PRICE_FIELD in world.response.item_fields


def _schema_text(world: ClickWorld) -> str:
    """schema.toml of the log: the fields of ML-100K, and the price where it is shown."""
    text = CLICK_WORLD_SCHEMA.read_text(encoding="utf-8")
    return PRICE_SCHEMA + text if shows_price(world) else text


def systematic_upstream_bias(
    shape: tuple[int, ...], config: ClickWorldConfig
) -> NDArray[np.float32]:
    """(U, I) float32 standard normal: upstream error that every request of a pair repeats."""
    if not config.upstream_bias_share:
        return np.zeros(shape, dtype=np.float32)
    return np.random.default_rng((config.seed, 1)).standard_normal(shape, dtype=np.float32)


def simulate_requests(
    world: ClickWorld,
    user: IntArray,
    config: ClickWorldConfig,
    rng: np.random.Generator,
    *,
    popularity: FloatArray,
    upstream_bias: NDArray[np.float32],
) -> SimulatedRequests:
    """Draw candidates, upstream scores, shown lists and clicks for requests of users (C,).

    Args:
        world: tastes and click model.
        user: (C,) rows of the users.
        config: settings.
        rng: random stream of the chunk.
        popularity: (I,) ratings of each item.
        upstream_bias: (U, I) systematic part of the upstream error.
    """
    taste = world.taste[user]
    with np.errstate(divide="ignore"):  # items without ratings are never candidates
        pull = config.popularity_power * np.log(popularity) + config.taste_pull * taste
    perturbed = pull + rng.gumbel(size=pull.shape)  # Gumbel top-N: without replacement
    candidates = np.argpartition(-perturbed, config.candidates - 1, axis=1)[:, : config.candidates]
    score = config.upstream_weight * np.take_along_axis(taste, candidates, axis=1)
    independent_noise = np.sqrt(1.0 - config.upstream_bias_share) * rng.normal(
        0.0, 1.0, score.shape
    )
    systematic_noise = (
        np.sqrt(config.upstream_bias_share) * upstream_bias[user[:, None], candidates]
    )
    score = (score + config.upstream_noise * (independent_noise + systematic_noise)).astype(
        np.float32
    )
    order = np.argsort(-score, axis=1, kind="stable")
    candidates = np.take_along_axis(candidates, order, axis=1)
    score = np.take_along_axis(score, order, axis=1)
    explored = score + config.exploration * rng.gumbel(size=score.shape)
    shown = np.argsort(-explored, axis=1, kind="stable")[:, : config.slots]
    items = np.take_along_axis(candidates, shown, axis=1)
    return SimulatedRequests(user, candidates, score, shown, world.sample_clicks(user, items, rng))


def _columns(
    world: ClickWorld, requests: SimulatedRequests, timestamps: IntArray, first: int
) -> dict[str, pa.Array]:
    """Columns of impressions; they hold nothing of the taste."""
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


def _info(config: ClickWorldConfig) -> LogInfo:
    name = f"{config.form}-world-{config.slots}of{config.candidates}"
    return LogInfo(
        name=name, split=SPLIT_BY_TIME, shares=config.shares, list_size=config.slots, simulated=True
    )
