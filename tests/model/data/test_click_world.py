from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from model.data.click_world import (
    WorldConfig,
    build_world,
    draw_visits,
    upstream_habit,
    write_click_world,
)
from model.data.errors import ConfigError
from model.data.factorization import FactorizationConfig, predict_stars, standardized
from model.data.ml100k import read_movielens
from model.data.prepare import fingerprint, prepare
from model.data.tables import LogTables
from model.data.toml_config import read_toml
from model.data.worlds import WORLD, ClickWorld, load_world
from tests.model.data.ratings import write_ratings

PRESETS = Path("model/data")


@pytest.fixture(scope="module", params=["listwise", "cascade"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, LogTables, ClickWorld]:
    folder = tmp_path_factory.mktemp("world")
    wheel = write_ratings(folder / "some.whl")
    config = WorldConfig(form=request.param, lists=6_400)
    assert write_click_world(wheel, folder / "log", config) == 8_000
    return folder / "log", prepare(folder / "log"), load_world(folder / "log")


def _shown_items(tables: LogTables) -> np.ndarray:
    return np.take_along_axis(tables.candidates, tables.shown.astype(np.int64), axis=1)


def test_clicks_come_as_often_as_the_world_says(made):
    _, tables, world = made

    p = world.click_probabilities(tables.user_place, _shown_items(tables))

    # each rate is over 8,000 draws: four standard errors are 4 sqrt(.25 / 8000) = .022
    assert tables.clicks.mean(axis=0) == pytest.approx(p.mean(axis=0), abs=0.022)
    own = np.argsort(p[:, 0])
    low, high = tables.clicks[own[:2000], 0].mean(), tables.clicks[own[-2000:], 0].mean()
    assert (low, high) == pytest.approx(
        (p[own[:2000], 0].mean(), p[own[-2000:], 0].mean()), abs=0.045
    )
    assert high - low > 0.2


def test_upstream_errs_the_same_way_again_as_far_as_it_is_told_to(tmp_path: Path):
    data = read_movielens(write_ratings(tmp_path / "some.whl"))
    again: dict[float, float] = {}
    for share in (0.0, 0.75, 1.0):
        config = WorldConfig(upstream_habit=share, candidates=20, slots=4)
        world = build_world(data, config)
        drawn_by = (np.ones(len(world.item_ids)), upstream_habit(world.taste.shape, config))
        errors = []
        for seed in (1, 2):  # the same user meets items twice
            user = np.zeros(400, dtype=np.int64)
            visits = draw_visits(world, user, drawn_by, config, np.random.default_rng(seed))
            error = visits.scores - config.upstream_weight * world.taste[0][visits.candidates]
            assert error.std() == pytest.approx(config.upstream_noise, rel=0.35)
            mean = np.zeros(len(world.item_ids))
            first = {int(item): at for at, item in enumerate(visits.candidates.ravel())}
            for item, at in first.items():
                mean[item] = error.ravel()[at]
            errors.append(mean)
        met = (errors[0] != 0) & (errors[1] != 0)
        again[share] = float(np.corrcoef(errors[0][met], errors[1][met])[0, 1])

    # the correlation of two errors on one pair is the share; over some hundred items +- .2
    assert again[0.0] == pytest.approx(0.0, abs=0.25)
    assert again[0.75] == pytest.approx(0.75, abs=0.25)
    assert again[1.0] == pytest.approx(1.0, abs=1e-4)


def test_rows_are_whole_and_called_simulated(made):
    _, tables, world = made

    assert tables.info.simulated
    assert np.bincount(tables.part).tolist() == [6_400, 800, 800]
    assert (tables.cand_count == 12).all()
    assert (tables.shown_count == 4).all()
    assert list(world.item_ids) == list(tables.items.ids)
    assert list(world.user_ids) == list(tables.users.ids)
    assert (tables.sessions[-500:] >= 0).all(), "users do not come back"


def test_the_log_holds_nothing_of_the_hidden_taste(made):
    log, tables, world = made
    columns = set(pq.read_table(log / "impressions").column_names)
    assert columns == {
        *("request_id", "user_id", "timestamp", "candidates", "upstream_scores"),
        *("shown", "clicks", "conversions"),
    }
    assert {f.name for f in tables.schema.fields} == {
        *("item_id", "genres", "release_year", "popularity", "upstream_score", "upstream_rank"),
        *("clicked", "converted", "user_id", "age", "gender", "occupation"),
    }
    rows = pq.read_table(log / "impressions").sort_by("request_id")
    taste = world.taste[tables.user_place[:, None], tables.candidates]
    noise = np.asarray(rows["upstream_scores"].to_pylist()) - 0.8 * taste
    assert tables.request_ids.tolist() == rows["request_id"].to_pylist()
    # upstream score = .8 s + N(0, .8): what is left is that noise, not the taste in disguise
    assert noise.std() == pytest.approx(0.8, abs=0.02)
    assert np.corrcoef(noise.ravel(), taste.ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_prepare_never_opens_the_world(made):
    log, tables, _ = made
    held = (log / WORLD).read_bytes()
    try:
        (log / WORLD).write_bytes(b"nobody may read this")
        assert fingerprint(log) == tables.fingerprint
        again = prepare(log)
    finally:
        (log / WORLD).write_bytes(held)

    for name, array in vars(tables).items():
        if isinstance(array, np.ndarray):
            assert np.array_equal(array, getattr(again, name)), name


def test_one_user_or_a_user_a_list_give_the_same_and_any_length_is_answered(made):
    _, tables, world = made
    lists = _shown_items(tables)[:50]
    users = np.full(50, 3)

    whole = world.click_probabilities(users, lists)

    assert np.array_equal(world.click_probabilities(3, lists), whole)
    assert world.expected_clicks(3, lists) == pytest.approx(whole.sum(axis=1))
    assert world.click_probabilities(3, lists[:, :2]).shape == (50, 2)
    rows = world.click_probabilities(users, lists[::-1])
    assert rows == pytest.approx(whole[::-1])


def test_the_world_read_is_the_world_written_and_a_real_log_has_none(made, tmp_path):
    log, _, world = made
    again = load_world(log)

    assert again.response == world.response
    assert again.form in str(log / "listwise cascade")
    with pytest.raises(ConfigError, match="this log is not simulated"):
        load_world(tmp_path)


def test_the_same_seed_writes_the_same_log_and_another_another(tmp_path):
    wheel = write_ratings(tmp_path / "some.whl")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_click_world(wheel, tmp_path / name, WorldConfig(lists=400, seed=seed))

    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "c")


def test_factors_explain_ratings_better_than_their_mean(tmp_path):
    data = read_movielens(write_ratings(tmp_path / "some.whl"))
    r = data.ratings
    stars = predict_stars(r, 40, 150, FactorizationConfig(rank=4), seed=0)

    error = stars[r.user, r.item] - r.stars
    assert (error**2).mean() < 0.6 * r.stars.var()
    assert (standardized(stars).mean(), standardized(stars).std()) == pytest.approx((0, 1))


@pytest.mark.parametrize(
    ("preset", "form", "size"),
    [
        ("click_world_4of12.toml", "listwise", (12, 4)),
        ("click_world_10of50.toml", "listwise", (50, 10)),
        ("cascade_world_4of12.toml", "cascade", (12, 4)),
        ("habit_world_4of12.toml", "listwise", (12, 4)),
    ],
)
def test_presets_say_what_their_names_say(preset: str, form: str, size: tuple[int, int]):
    config = read_toml(WorldConfig, PRESETS / preset)

    assert config.form == form
    assert (config.candidates, config.slots) == size


def test_the_defaults_are_what_the_reference_preset_says():
    assert read_toml(WorldConfig, PRESETS / "click_world_4of12.toml") == WorldConfig()
