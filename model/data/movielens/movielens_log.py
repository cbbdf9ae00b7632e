"""Writes ML-100K as a canonical log of rating sessions with a label for every candidate.

Candidates of a session are the items that the user rated in it; click = 4 stars or more,
conversion = 5. Neither the order of ratings nor labels reach the upstream score or a feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as pydantic_dataclass
from tqdm import tqdm

from model.config.toml_reader import STRICT_CONFIG
from model.data.log.log_info import SPLIT_BY_USER, LogInfo, write_log_info
from model.data.log.log_reader import ITEMS_PARQUET, SCHEMA_TOML, USERS_PARQUET
from model.data.log.log_writer import (
    list_column,
    replace_log_dir,
    take_ids,
    write_candidate_labels,
    write_impressions,
)
from model.data.log.ragged import IntArray
from model.data.movielens.ml100k import MovieLensData, Ratings, read_ml100k
from model.data.movielens.upstream_ranker import UpstreamRanker, UpstreamRankerConfig
from model.data.tables.split import TRAIN, assign_parts

MIN_CLICK_STARS, MIN_CONVERSION_STARS = 4, 5
MOVIELENS_SCHEMA = Path(__file__).parent / "movielens_schema.toml"


@pydantic_dataclass(frozen=True, slots=True, kw_only=True, config=STRICT_CONFIG)
class MovieLensConfig:
    """Settings; presets/movielens.toml explains each."""

    slots: int = 10
    min_candidates: int = 12
    max_candidates: int = 50
    gap_minutes: int = 30
    passes: int = 2
    exploration: float = 0.5
    split: str = SPLIT_BY_USER
    shares: tuple[float, ...] = (0.7, 0.15, 0.15)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= self.min_candidates <= self.max_candidates // 2:
            raise ValueError("needs 1 <= slots <= min_candidates <= max_candidates / 2")
        if self.passes < 1 or self.gap_minutes < 1:
            raise ValueError("passes and gap_minutes are at least 1")


@dataclass(frozen=True)
class RatingSession:
    """Ratings of one user without a long pause.

    start_s: Unix second of the first rating. timestamp: Unix ms, distinct for a user.
    items, stars: (n,) int64 in random order.
    """

    session_id: str
    user: int
    start_s: int
    timestamp: int
    items: IntArray
    stars: IntArray


def write_movielens_log(wheel: Path, log_dir: Path, config: MovieLensConfig) -> int:
    """Write the canonical log; return its number of requests."""
    data = read_ml100k(wheel)
    rng = np.random.default_rng(config.seed)
    sessions = sorted(split_rating_sessions(data, config, rng), key=lambda s: (s.timestamp, s.user))
    info = LogInfo(name="movielens", split=config.split, shares=config.shares)
    user = np.asarray([s.user for s in sessions], dtype=np.int32)
    timestamp = np.asarray([s.timestamp for s in sessions], dtype=np.int64)
    part = assign_parts(user, timestamp, data.user_ids, info)
    with replace_log_dir(log_dir) as fresh:
        rows = _LogColumns(data, config)
        ranker = UpstreamRanker(
            data.ratings, data.genre_matrix, len(data.user_ids), UpstreamRankerConfig()
        )
        for session, p in tqdm(
            list(zip(sessions, part, strict=True)), desc="rating sessions", unit=""
        ):
            ranker.advance_to(session.start_s)
            rows.add(session, ranker, config.passes if p == TRAIN else None, rng)
        rows.write(fresh)
        pq.write_table(data.item_table(), fresh / ITEMS_PARQUET)
        pq.write_table(data.user_table(), fresh / USERS_PARQUET)
        (fresh / SCHEMA_TOML).write_text(
            MOVIELENS_SCHEMA.read_text(encoding="utf-8"), encoding="utf-8"
        )
        write_log_info(fresh, info)
    return len(rows)


def split_rating_sessions(
    data: MovieLensData, config: MovieLensConfig, rng: np.random.Generator
) -> Iterator[RatingSession]:
    """Split the ratings of each user at long pauses, and long sessions evenly."""
    ratings = data.ratings
    tie = rng.permutation(len(ratings.timestamp_s))
    order = np.lexsort((tie, ratings.timestamp_s, ratings.user))
    user, second = ratings.user[order], ratings.timestamp_s[order]
    new = (np.diff(user) != 0) | (np.diff(second) > 60 * config.gap_minutes)
    for session in np.split(order, np.flatnonzero(new) + 1):
        if len(session) < config.min_candidates:
            continue
        pieces = np.array_split(session, -(-len(session) // config.max_candidates))
        yield from _rating_sessions(data, ratings, pieces, rng)


def _rating_sessions(
    data: MovieLensData, ratings: Ratings, pieces: list[IntArray], rng: np.random.Generator
) -> Iterator[RatingSession]:
    """One session a piece; pieces that begin in the same second differ by a millisecond."""
    timestamp = 0
    for piece in pieces:
        second, user = int(ratings.timestamp_s[piece[0]]), int(ratings.user[piece[0]])
        timestamp = max(1000 * second, timestamp + 1)
        shuffled = rng.permutation(piece)
        yield RatingSession(
            session_id=f"{data.user_ids[user]}-{timestamp}",
            user=user,
            start_s=second,
            timestamp=timestamp,
            items=ratings.item[shuffled],
            stars=ratings.stars[shuffled],
        )


class _LogColumns:
    """Collects the columns of the log and writes them."""

    def __init__(self, data: MovieLensData, config: MovieLensConfig) -> None:
        self._data, self._config = data, config
        self._ids: list[str] = []
        self._user: list[int] = []
        self._timestamp: list[int] = []
        self._items: list[IntArray] = []
        self._stars: list[IntArray] = []
        self._scores: list[NDArray[np.float64]] = []
        self._popularity: list[NDArray[np.float64]] = []
        self._shown: list[IntArray] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(
        self,
        session: RatingSession,
        ranker: UpstreamRanker,
        passes: int | None,
        rng: np.random.Generator,
    ) -> None:
        """Add the rows of a session: the pages of each pass; for None, the upstream list only."""
        score = ranker.score_items(session.user, session.items)
        order = np.argsort(-score, kind="stable")
        items, score = session.items[order], score[order]
        if passes is None:
            lists = [np.arange(self._config.slots)]
        else:
            lists = [page for number in range(passes) for page in self._pages(score, number, rng)]
        for number, shown in enumerate(lists):
            self._ids.append(f"{session.session_id}-{number:02d}")
            self._user.append(session.user)
            self._timestamp.append(session.timestamp)
            self._items.append(items)
            self._stars.append(session.stars[order])
            self._scores.append(score)
            self._popularity.append(ranker.rating_counts[items])
            self._shown.append(shown)

    def _pages(
        self, score: NDArray[np.float64], number: int, rng: np.random.Generator
    ) -> list[IntArray]:
        """Every candidate once, page by page; passes after the first draw a random order.

        The number of pages grows with the session, so that candidates of short sessions are not
        shown more often than those of long ones.
        """
        spread = self._config.exploration * max(float(score.std()), 1e-6)
        noise = rng.gumbel(0.0, spread, len(score)) if number else 0.0
        order = np.argsort(-(score + noise), kind="stable")
        return np.array_split(order, -(-len(order) // self._config.slots))

    def write(self, folder: Path) -> None:
        """Write impressions and labels of all candidates."""
        counts = np.asarray([len(items) for items in self._items])
        slots = np.asarray([len(shown) for shown in self._shown])
        pairs = list(zip(self._items, self._stars, self._shown, strict=True))
        shown_stars = np.concatenate([stars[shown] for _, stars, shown in pairs])
        shown_items = np.concatenate([items[shown] for items, _, shown in pairs])
        stars = np.concatenate(self._stars)
        ids, item_ids = pa.array(self._ids), self._data.item_ids
        impressions = {
            "request_id": ids,
            "user_id": take_ids(self._data.user_ids, np.asarray(self._user)),
            "timestamp": pa.array(self._timestamp, pa.int64()),
            "candidates": list_column(take_ids(item_ids, np.concatenate(self._items)), counts),
            "upstream_scores": list_column(_float32(self._scores), counts),
            "popularity_so_far": list_column(_float32(self._popularity), counts),
            "shown": list_column(take_ids(item_ids, shown_items), slots),
            "clicks": list_column(_at_least(shown_stars, MIN_CLICK_STARS), slots),
            "conversions": list_column(_at_least(shown_stars, MIN_CONVERSION_STARS), slots),
        }
        write_impressions(folder, 0, impressions)
        labels = {
            "request_id": ids,
            "clicks": list_column(_at_least(stars, MIN_CLICK_STARS), counts),
            "conversions": list_column(_at_least(stars, MIN_CONVERSION_STARS), counts),
        }
        write_candidate_labels(folder, labels)


def _float32(values: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    return np.concatenate(values).astype(np.float32)


def _at_least(stars: IntArray, minimum: int) -> NDArray[np.int8]:
    return (stars >= minimum).astype(np.int8)
