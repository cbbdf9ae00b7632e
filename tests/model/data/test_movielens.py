from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from model.data.errors import DownloadFailed
from model.data.ml100k import Ratings, read_movielens
from model.data.movielens import MovielensConfig, find_sittings, write_movielens
from model.data.split import TRAIN
from model.data.tables import LogTables, prepare
from model.data.toml_config import read_toml
from model.data.upstream import PastRatings, RankerConfig
from tests.model.data.ratings import write_ratings

CONFIG = MovielensConfig(passes=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, LogTables]:
    folder = tmp_path_factory.mktemp("ml")
    wheel = write_ratings(folder / "some.whl")
    write_movielens(wheel, folder / "log", CONFIG)
    return wheel, folder / "log", prepare(folder / "log")


def test_sittings_are_one_users_ratings_without_a_long_pause(made):
    data = read_movielens(made[0])
    ratings = data.ratings
    rated = {
        (int(u), int(i)): (int(s), int(t))
        for u, i, s, t in zip(
            ratings.user, ratings.item, ratings.stars, ratings.second, strict=True
        )
    }

    sittings = list(find_sittings(data, CONFIG, np.random.default_rng(0)))

    assert len({(s.user, s.timestamp) for s in sittings}) == len(sittings) > 60
    assert max(len(s.items) for s in sittings) > 25, "no sitting was parted: nothing is tested"
    for s in sittings:
        seconds = sorted(rated[s.user, int(i)][1] for i in s.items)
        assert 12 <= len(s.items) <= 50
        assert s.second == seconds[0]
        assert max(np.diff(seconds)) <= 30 * 60
        assert [rated[s.user, int(i)][0] for i in s.items] == s.stars.tolist()


def test_pieces_of_one_sitting_that_begin_in_one_second_stay_apart(tmp_path):
    wheel = write_ratings(tmp_path / "some.whl", users=3)
    data = read_movielens(wheel)
    everything_at_once = np.full_like(data.ratings.second, 880_000_000)
    object.__setattr__(data.ratings, "second", everything_at_once)

    sittings = list(find_sittings(data, CONFIG, np.random.default_rng(0)))

    moments = Counter((s.user, s.timestamp) for s in sittings)
    assert max(Counter(s.user for s in sittings).values()) > 1
    assert set(moments.values()) == {1}


def test_ties_in_time_are_broken_by_the_seed_not_by_the_file(made):
    data = read_movielens(made[0])

    def first_items(seed: int) -> list[list[int]]:
        found = find_sittings(data, CONFIG, np.random.default_rng(seed))
        return [s.items.tolist() for s in found]

    assert first_items(0) == first_items(0)
    assert first_items(0) != first_items(1)


def test_upstream_scores_use_only_ratings_with_an_earlier_second(made):
    wheel, log, tables = made
    data = read_movielens(wheel)
    rows = {r["request_id"]: r for r in pq.read_table(log / "impressions").to_pylist()}
    second = tables.timestamp // 1000
    for at in range(0, len(tables), 29):
        row = rows[str(tables.request_ids[at])]
        kept = data.ratings.second < second[at]
        cut = type(data.ratings)(*(c[kept] for c in vars(data.ratings).values()))
        past = PastRatings(cut, data.genre_matrix, len(data.user_ids), RankerConfig())
        # the mean of an item moves with each batch of new ratings: advance as the adapter did
        for moment in np.unique(second):
            if moment <= second[at]:
                past.advance(int(moment))
        items = np.asarray([int(i) - 1 for i in row["candidates"]])
        user = int(row["user_id"]) - 1
        assert row["upstream_scores"] == pytest.approx(past.score(user, items), abs=1e-6)
        counts = [int((data.ratings.item[kept] == i).sum()) for i in items]
        assert row["popularity_so_far"] == counts
        assert row["upstream_scores"] == sorted(row["upstream_scores"], reverse=True)


def test_item_means_are_shrunken_and_the_past_only_grows():
    zero, stars = np.zeros(3, dtype=np.int64), np.array([5, 1, 3])
    ratings = Ratings(zero, np.array([0, 1, 0]), stars, np.array([5, 9, 9]))
    past = PastRatings(ratings, np.eye(2), 1, RankerConfig(item_weight=1.0))
    assert past.item_mean(np.array([0, 1])).tolist() == [3.5, 3.5]

    past.advance(9)

    # one rating of 5 so far: the prior is 5, and item 0 has (5 + 1 * 5) / 2
    assert past.item_mean(np.array([0, 1])).tolist() == [5.0, 5.0]
    assert past.count.tolist() == [1, 0]
    past.advance(10)
    # the prior is (5 + 1 + 3) / 3 = 3; item 0 has (8 + 3) / 3, item 1 (1 + 3) / 2
    assert past.item_mean(np.array([0, 1])) == pytest.approx([11 / 3, 2.0])
    with pytest.raises(ValueError, match="the past only grows"):
        past.advance(9)


def test_training_sittings_show_every_candidate_once_a_pass_and_held_out_ones_the_upstreams(made):
    _, _, tables = made
    held_out = np.flatnonzero(tables.part != TRAIN)
    assert (tables.shown[held_out] == np.arange(10)).all()
    sittings = np.stack([tables.user_place[held_out], tables.timestamp[held_out]])
    assert np.unique(sittings, axis=1).shape[1] == len(held_out)  # one list each
    rows = tables.rows_of(TRAIN)
    moments = list(zip(tables.user_place[rows], tables.timestamp[rows], strict=True))
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


def test_labels_are_the_stars_of_every_candidate(made):
    wheel, _, tables = made
    ratings = read_movielens(wheel).ratings
    stars = np.zeros((40, 150), dtype=int)
    stars[ratings.user, ratings.item] = ratings.stars

    for at in range(0, len(tables), 17):
        n = int(tables.cand_count[at])
        told = stars[tables.user_place[at], tables.candidates[at, :n]]
        assert tables.candidate_clicks[at, :n].tolist() == (told >= 4).astype(int).tolist()
        assert tables.candidate_conversions[at, :n].tolist() == (told == 5).astype(int).tolist()
        slots = int(tables.shown_count[at])
        shown = told[tables.shown[at, :slots]]
        assert tables.clicks[at, :slots].tolist() == (shown >= 4).astype(int).tolist()
        assert tables.conversions[at, :slots].tolist() == (shown == 5).astype(int).tolist()


def test_the_same_seed_writes_the_same_log_and_another_another(made, tmp_path):
    wheel, log, _ = made
    for name, seed in (("same", 0), ("other", 1)):
        write_movielens(wheel, tmp_path / name, MovielensConfig(passes=3, seed=seed))

    def rows(folder: Path) -> list[dict[str, Any]]:
        return pq.read_table(folder / "impressions").to_pylist()

    assert rows(tmp_path / "same") == rows(log)
    assert rows(tmp_path / "other") != rows(log)


def test_a_global_split_keeps_whole_moments_apart(made, tmp_path):
    write_movielens(made[0], tmp_path / "log", MovielensConfig(split="time"))

    tables = prepare(tmp_path / "log")

    assert tables.timestamp[tables.part == TRAIN].max() < tables.timestamp[tables.part > 0].min()


def test_garbled_years_come_from_the_title_or_are_gaps(made):
    data = read_movielens(made[0])

    assert data.years[:3] == [1987, None, 1952]
    assert data.genres[:2] == [["Drama"], []]


def test_the_defaults_are_what_the_toml_beside_them_says():
    path = Path("model/data/movielens.toml")

    assert read_toml(MovielensConfig, path) == MovielensConfig()


def test_a_wheel_without_the_data_is_refused(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"not a zip")

    with pytest.raises(DownloadFailed, match=r"holds no readable .*ml-100k\.item"):
        read_movielens(tmp_path / "x.whl")
