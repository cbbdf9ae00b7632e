from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from model.config.toml_reader import read_flat_toml
from model.data.errors import DownloadFailed
from model.data.movielens.ml100k import Ratings, read_ml100k
from model.data.movielens.movielens_log import (
    MovieLensConfig,
    split_rating_sessions,
    write_movielens_log,
)
from model.data.movielens.upstream_ranker import UpstreamRanker, UpstreamRankerConfig
from model.data.tables.split import TRAIN
from model.data.tables.table_cache import LogTables, build_log_tables
from tests.model.data.movielens.ratings_wheel import write_ratings_wheel

CONFIG = MovieLensConfig(passes=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, LogTables]:
    folder = tmp_path_factory.mktemp("ml")
    wheel = write_ratings_wheel(folder / "some.whl")
    write_movielens_log(wheel, folder / "log", CONFIG)
    return wheel, folder / "log", build_log_tables(folder / "log")


def test_rating_sessions_contain_no_long_pause(made):
    data = read_ml100k(made[0])
    ratings = data.ratings
    rated = {
        (int(u), int(i)): (int(s), int(t))
        for u, i, s, t in zip(
            ratings.user, ratings.item, ratings.stars, ratings.timestamp_s, strict=True
        )
    }

    sittings = list(split_rating_sessions(data, CONFIG, np.random.default_rng(0)))

    assert len({(s.user, s.timestamp) for s in sittings}) == len(sittings) > 60
    assert max(len(s.items) for s in sittings) > 25, "no sitting was parted: nothing is tested"
    for s in sittings:
        seconds = sorted(rated[s.user, int(i)][1] for i in s.items)
        assert 12 <= len(s.items) <= 50
        assert s.start_s == seconds[0]
        assert max(np.diff(seconds)) <= 30 * 60
        assert [rated[s.user, int(i)][0] for i in s.items] == s.stars.tolist()


def test_rating_sessions_same_second_have_distinct_timestamps(tmp_path):
    wheel = write_ratings_wheel(tmp_path / "some.whl", users=3)
    data = read_ml100k(wheel)
    everything_at_once = np.full_like(data.ratings.timestamp_s, 880_000_000)
    object.__setattr__(data.ratings, "timestamp_s", everything_at_once)

    sittings = list(split_rating_sessions(data, CONFIG, np.random.default_rng(0)))

    moments = Counter((s.user, s.timestamp) for s in sittings)
    assert max(Counter(s.user for s in sittings).values()) > 1
    assert set(moments.values()) == {1}


def test_rating_sessions_time_ties_depend_on_seed(made):
    data = read_ml100k(made[0])

    def first_items(seed: int) -> list[list[int]]:
        found = split_rating_sessions(data, CONFIG, np.random.default_rng(seed))
        return [s.items.tolist() for s in found]

    assert first_items(0) == first_items(0)
    assert first_items(0) != first_items(1)


def test_upstream_ranker_uses_only_earlier_ratings(made):
    wheel, log, tables = made
    data = read_ml100k(wheel)
    rows = {r["request_id"]: r for r in pq.read_table(log / "impressions").to_pylist()}
    second = tables.timestamp // 1000
    for at in range(0, len(tables), 29):
        row = rows[str(tables.request_ids[at])]
        kept = data.ratings.timestamp_s < second[at]
        cut = type(data.ratings)(*(c[kept] for c in vars(data.ratings).values()))
        past = UpstreamRanker(cut, data.genre_matrix, len(data.user_ids), UpstreamRankerConfig())
        # the mean of an item moves with each batch of new ratings: advance as the adapter did
        for moment in np.unique(second):
            if moment <= second[at]:
                past.advance_to(int(moment))
        items = np.asarray([int(i) - 1 for i in row["candidates"]])
        user = int(row["user_id"]) - 1
        assert row["upstream_scores"] == pytest.approx(past.score_items(user, items), abs=1e-6)
        counts = [int((data.ratings.item[kept] == i).sum()) for i in items]
        assert row["popularity_so_far"] == counts
        assert row["upstream_scores"] == sorted(row["upstream_scores"], reverse=True)


def test_upstream_ranker_means_shrink_and_time_advances():
    zero, stars = np.zeros(3, dtype=np.int64), np.array([5, 1, 3])
    ratings = Ratings(zero, np.array([0, 1, 0]), stars, np.array([5, 9, 9]))
    past = UpstreamRanker(ratings, np.eye(2), 1, UpstreamRankerConfig(item_prior_weight=1.0))
    assert past.item_mean(np.array([0, 1])).tolist() == [3.5, 3.5]

    past.advance_to(9)

    # one rating of 5 so far: the prior is 5, and item 0 has (5 + 1 * 5) / 2
    assert past.item_mean(np.array([0, 1])).tolist() == [5.0, 5.0]
    assert past.rating_counts.tolist() == [1, 0]
    past.advance_to(10)
    # the prior is (5 + 1 + 3) / 3 = 3; item 0 has (8 + 3) / 3, item 1 (1 + 3) / 2
    assert past.item_mean(np.array([0, 1])) == pytest.approx([11 / 3, 2.0])
    with pytest.raises(ValueError, match="must not decrease"):
        past.advance_to(9)


def test_movielens_log_training_covers_candidates_each_pass(made):
    _, _, tables = made
    held_out = np.flatnonzero(tables.part != TRAIN)
    assert (tables.shown[held_out] == np.arange(10)).all()
    sittings = np.stack([tables.user_index[held_out], tables.timestamp[held_out]])
    assert np.unique(sittings, axis=1).shape[1] == len(held_out)  # one list each
    rows = tables.part_rows(TRAIN)
    moments = list(zip(tables.user_index[rows], tables.timestamp[rows], strict=True))
    for moment in set(moments):
        pages = [row for row, own in zip(rows, moments, strict=True) if own == moment]
        offered = int(tables.cand_count[pages[0]])
        lists = [tables.shown[row, : tables.shown_count[row]].tolist() for row in pages]
        assert len(lists) == 3 * -(-offered // 10)
        assert max(map(len, lists)) - min(map(len, lists)) <= 1  # parted evenly
        each_pass = np.split(np.concatenate(lists), 3)
        assert all(sorted(one) == list(range(offered)) for one in each_pass)
        assert each_pass[0].tolist() == list(range(offered))  # as upstream orders them
        assert len({tuple(one) for one in each_pass}) == 3


def test_movielens_log_labels_match_stars(made):
    wheel, _, tables = made
    ratings = read_ml100k(wheel).ratings
    stars = np.zeros((40, 150), dtype=int)
    stars[ratings.user, ratings.item] = ratings.stars

    for at in range(0, len(tables), 17):
        n = int(tables.cand_count[at])
        told = stars[tables.user_index[at], tables.candidates[at, :n]]
        assert tables.candidate_clicks[at, :n].tolist() == (told >= 4).astype(int).tolist()
        assert tables.candidate_conversions[at, :n].tolist() == (told == 5).astype(int).tolist()
        slots = int(tables.shown_count[at])
        shown = told[tables.shown[at, :slots]]
        assert tables.clicks[at, :slots].tolist() == (shown >= 4).astype(int).tolist()
        assert tables.conversions[at, :slots].tolist() == (shown == 5).astype(int).tolist()


def test_movielens_log_depends_only_on_seed(made, tmp_path):
    wheel, log, _ = made
    for name, seed in (("same", 0), ("other", 1)):
        write_movielens_log(wheel, tmp_path / name, MovieLensConfig(passes=3, seed=seed))

    def rows(folder: Path) -> list[dict[str, Any]]:
        return pq.read_table(folder / "impressions").to_pylist()

    assert rows(tmp_path / "same") == rows(log)
    assert rows(tmp_path / "other") != rows(log)


def test_movielens_log_time_split_separates_timestamps(made, tmp_path):
    write_movielens_log(made[0], tmp_path / "log", MovieLensConfig(split="time"))

    tables = build_log_tables(tmp_path / "log")

    assert tables.timestamp[tables.part == TRAIN].max() < tables.timestamp[tables.part > 0].min()


def test_read_ml100k_invalid_year_uses_title(made):
    data = read_ml100k(made[0])

    assert data.years[:3] == [1987, None, 1952]
    assert data.genres[:2] == [["Drama"], []]


def test_movielens_preset_equals_defaults():
    path = Path("model/data/presets/movielens.toml")

    assert read_flat_toml(MovieLensConfig, path) == MovieLensConfig()


def test_read_ml100k_wheel_without_data_fails(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"not a zip")

    with pytest.raises(DownloadFailed, match=r"holds no readable .*ml-100k\.item"):
        read_ml100k(tmp_path / "x.whl")
