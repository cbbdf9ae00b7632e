"""Adapter: ML-100K ratings -> a canonical log of sittings; every candidate's label is known.

A sitting's candidates are what the user rated in it; click = 4 stars or more, conversion = 5. Order
of ratings and labels reach neither the upstream score nor any feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from model.data.canonical import ITEMS, SCHEMA_TOML, USERS
from model.data.log_info import BY_USER, LogInfo, write_info
from model.data.log_writer import fresh_log, list_column, named, write_impressions, write_truth
from model.data.ml100k import MovieLens, Ratings, read_movielens
from model.data.ragged import Ints
from model.data.split import TRAIN, split_rows
from model.data.upstream import PastRatings, RankerConfig

CLICK_STARS, CONVERSION_STARS = 4, 5
SCHEMA = Path(__file__).parent / "movielens_schema.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class MovielensConfig:
    """Settings; what each means stands in movielens.toml."""

    slots: int = 10
    min_candidates: int = 12
    max_candidates: int = 50
    gap_minutes: int = 30
    passes: int = 2
    exploration: float = 0.5
    split: str = BY_USER
    shares: tuple[float, ...] = (0.7, 0.15, 0.15)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= self.min_candidates <= self.max_candidates // 2:
            raise ValueError("needs 1 <= slots <= min_candidates <= max_candidates / 2")
        if self.passes < 1 or self.gap_minutes < 1:
            raise ValueError("passes and gap_minutes are at least 1")


@dataclass(frozen=True)
class Sitting:
    """One user's ratings of one evening: `items` (n,) and `stars` (n,) in random order."""

    name: str
    user: int
    second: int
    timestamp: int
    items: Ints
    stars: Ints


def write_movielens(wheel: Path, folder: Path, config: MovielensConfig) -> int:
    """Write the canonical log; returns its number of rows."""
    data = read_movielens(wheel)
    rng = np.random.default_rng(config.seed)
    sittings = sorted(find_sittings(data, config, rng), key=lambda s: (s.timestamp, s.user))
    info = LogInfo(name="movielens", split=config.split, shares=config.shares)
    user = np.asarray([s.user for s in sittings], dtype=np.int32)
    timestamp = np.asarray([s.timestamp for s in sittings], dtype=np.int64)
    part = split_rows(user, timestamp, data.user_ids, info)
    with fresh_log(folder) as fresh:
        rows = _Rows(data, config)
        past = PastRatings(data.ratings, data.genre_matrix, len(data.user_ids), RankerConfig())
        for sitting, p in tqdm(list(zip(sittings, part, strict=True)), desc="sittings", unit=""):
            past.advance(sitting.second)
            rows.add(sitting, past, config.passes if p == TRAIN else None, rng)
        rows.write(fresh)
        pq.write_table(data.item_table(), fresh / ITEMS)
        pq.write_table(data.user_table(), fresh / USERS)
        (fresh / SCHEMA_TOML).write_text(SCHEMA.read_text(encoding="utf-8"), encoding="utf-8")
        write_info(fresh, info)
    return len(rows)


def find_sittings(
    data: MovieLens, config: MovielensConfig, rng: np.random.Generator
) -> Iterator[Sitting]:
    """Part each user's ratings at long pauses, and long sittings evenly."""
    ratings = data.ratings
    tie = rng.permutation(len(ratings.second))
    order = np.lexsort((tie, ratings.second, ratings.user))
    user, second = ratings.user[order], ratings.second[order]
    new = (np.diff(user) != 0) | (np.diff(second) > 60 * config.gap_minutes)
    for whole in np.split(order, np.flatnonzero(new) + 1):
        if len(whole) < config.min_candidates:
            continue
        pieces = np.array_split(whole, -(-len(whole) // config.max_candidates))
        yield from _sittings(data, ratings, pieces, rng)


def _sittings(
    data: MovieLens, ratings: Ratings, pieces: list[Ints], rng: np.random.Generator
) -> Iterator[Sitting]:
    """One sitting a piece; pieces that begin in the same second stay apart by a millisecond."""
    earlier = 0
    for piece in pieces:
        second, user = int(ratings.second[piece[0]]), int(ratings.user[piece[0]])
        earlier = max(1000 * second, earlier + 1)
        mixed = rng.permutation(piece)
        yield Sitting(
            name=f"{data.user_ids[user]}-{earlier}",
            user=user,
            second=second,
            timestamp=earlier,
            items=ratings.item[mixed],
            stars=ratings.stars[mixed],
        )


class _Rows:
    """Collects the rows of the log and writes them."""

    def __init__(self, data: MovieLens, config: MovielensConfig) -> None:
        self._data, self._config = data, config
        self._ids: list[str] = []
        self._user: list[int] = []
        self._timestamp: list[int] = []
        self._items: list[Ints] = []
        self._stars: list[Ints] = []
        self._scores: list[NDArray[np.float64]] = []
        self._popularity: list[NDArray[np.float64]] = []
        self._shown: list[Ints] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(
        self, sitting: Sitting, past: PastRatings, passes: int | None, rng: np.random.Generator
    ) -> None:
        """Add a sitting's rows: the pages of each pass, or None: the upstream's list alone."""
        score = past.score(sitting.user, sitting.items)
        order = np.argsort(-score, kind="stable")
        items, score = sitting.items[order], score[order]
        if passes is None:
            lists = [np.arange(self._config.slots)]
        else:
            lists = [page for number in range(passes) for page in self._pages(score, number, rng)]
        for number, shown in enumerate(lists):
            self._ids.append(f"{sitting.name}-{number:02d}")
            self._user.append(sitting.user)
            self._timestamp.append(sitting.timestamp)
            self._items.append(items)
            self._stars.append(sitting.stars[order])
            self._scores.append(score)
            self._popularity.append(past.count[items])
            self._shown.append(shown)

    def _pages(
        self, score: NDArray[np.float64], number: int, rng: np.random.Generator
    ) -> list[Ints]:
        """Every candidate once, page by page; passes after the first draw an order of their own.

        Short sittings would otherwise teach most: with as many lists as a long one, each of their
        candidates is shown several times as often.
        """
        spread = self._config.exploration * max(float(score.std()), 1e-6)
        noise = rng.gumbel(0.0, spread, len(score)) if number else 0.0
        order = np.argsort(-(score + noise), kind="stable")
        return np.array_split(order, -(-len(order) // self._config.slots))

    def write(self, folder: Path) -> None:
        """Write impressions and truth."""
        counts = np.asarray([len(items) for items in self._items])
        slots = np.asarray([len(shown) for shown in self._shown])
        pairs = list(zip(self._items, self._stars, self._shown, strict=True))
        shown_stars = np.concatenate([stars[shown] for _, stars, shown in pairs])
        shown_items = np.concatenate([items[shown] for items, _, shown in pairs])
        stars = np.concatenate(self._stars)
        ids, item_ids = pa.array(self._ids), self._data.item_ids
        impressions = {
            "request_id": ids,
            "user_id": named(self._data.user_ids, np.asarray(self._user)),
            "timestamp": pa.array(self._timestamp, pa.int64()),
            "candidates": list_column(named(item_ids, np.concatenate(self._items)), counts),
            "upstream_scores": list_column(_float32(self._scores), counts),
            "popularity_so_far": list_column(_float32(self._popularity), counts),
            "shown": list_column(named(item_ids, shown_items), slots),
            "clicks": list_column(_flags(shown_stars, CLICK_STARS), slots),
            "conversions": list_column(_flags(shown_stars, CONVERSION_STARS), slots),
        }
        write_impressions(folder, 0, impressions)
        truth = {
            "request_id": ids,
            "clicks": list_column(_flags(stars, CLICK_STARS), counts),
            "conversions": list_column(_flags(stars, CONVERSION_STARS), counts),
        }
        write_truth(folder, truth)


def _float32(values: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    return np.concatenate(values).astype(np.float32)


def _flags(stars: Ints, least: int) -> NDArray[np.int8]:
    return (stars >= least).astype(np.int8)
