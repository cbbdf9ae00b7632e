from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from model.config.toml_reader import ConfigError, read_flat_toml
from model.data.errors import DataConfigError
from model.data.movielens.ml100k import read_ml100k
from model.data.simulation.click_world_building import build_click_world
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.factorization import FactorizationConfig, predict_ratings, standardize
from model.data.simulation.ground_truth import WORLD_NPZ, ClickWorld, load_click_world
from model.data.simulation.simulated_log import write_click_world_log
from model.data.simulation.simulated_requests import simulate_requests, systematic_upstream_bias
from model.data.tables.table_builder import build_log_tables, log_fingerprint
from model.data.tables.table_cache import LogTables
from tests.model.data.movielens.ratings_wheel import write_ratings_wheel

PRESETS = Path("model/data/presets")


@pytest.fixture(scope="module", params=["listwise", "cascade", "decoy"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, LogTables, ClickWorld]:
    folder = tmp_path_factory.mktemp("world")
    wheel = write_ratings_wheel(folder / "some.whl")
    config = ClickWorldConfig(form=request.param, lists=6_400)
    assert write_click_world_log(wheel, folder / "log", config) == 8_000
    return folder / "log", build_log_tables(folder / "log"), load_click_world(folder / "log")


def _shown_items(tables: LogTables) -> np.ndarray:
    return np.take_along_axis(tables.candidates, tables.shown.astype(np.int64), axis=1)


def test_simulated_clicks_match_true_probabilities(made):
    _, tables, world = made

    p = world.click_probabilities(tables.user_index, _shown_items(tables))

    # each rate is over 8,000 draws: four standard errors are 4 sqrt(.25 / 8000) = .022
    assert tables.clicks.mean(axis=0) == pytest.approx(p.mean(axis=0), abs=0.022)
    own = np.argsort(p[:, 0])
    low, high = tables.clicks[own[:2000], 0].mean(), tables.clicks[own[-2000:], 0].mean()
    assert (low, high) == pytest.approx(
        (p[own[:2000], 0].mean(), p[own[-2000:], 0].mean()), abs=0.045
    )
    assert high - low > 0.2


def test_upstream_bias_share_sets_repeated_error(tmp_path: Path):
    data = read_ml100k(write_ratings_wheel(tmp_path / "some.whl"))
    again: dict[float, float] = {}
    for share in (0.0, 0.75, 1.0):
        config = ClickWorldConfig(upstream_bias_share=share, candidates=20, slots=4)
        world = build_click_world(data, config)
        errors = []
        for seed in (1, 2):  # two requests of one user share items
            user = np.zeros(400, dtype=np.int64)
            requests = simulate_requests(
                world,
                user,
                config,
                np.random.default_rng(seed),
                popularity=np.ones(len(world.item_ids)),
                upstream_bias=systematic_upstream_bias(world.taste.shape, config),
            )
            error = (
                requests.upstream_scores
                - config.upstream_weight * world.taste[0][requests.candidates]
            )
            assert error.std() == pytest.approx(config.upstream_noise, rel=0.35)
            mean = np.zeros(len(world.item_ids))
            first = {int(item): at for at, item in enumerate(requests.candidates.ravel())}
            for item, at in first.items():
                mean[item] = error.ravel()[at]
            errors.append(mean)
        met = (errors[0] != 0) & (errors[1] != 0)
        again[share] = float(np.corrcoef(errors[0][met], errors[1][met])[0, 1])

    # the correlation of two errors on one pair is the share; over some hundred items +- .2
    assert again[0.0] == pytest.approx(0.0, abs=0.25)
    assert again[0.75] == pytest.approx(0.75, abs=0.25)
    assert again[1.0] == pytest.approx(1.0, abs=1e-4)


def test_simulated_log_rows_are_complete_and_marked(made):
    _, tables, world = made

    assert tables.info.simulated
    assert np.bincount(tables.part).tolist() == [6_400, 800, 800]
    assert (tables.cand_count == 12).all()
    assert (tables.shown_count == 4).all()
    assert list(world.item_ids) == list(tables.items.ids)
    assert list(world.user_ids) == list(tables.users.ids)
    assert (tables.sessions[-500:] >= 0).all(), "users do not come back"


def test_simulated_log_does_not_contain_taste(made):
    log, tables, world = made
    columns = set(pq.read_table(log / "impressions").column_names)
    item_fields = {"item_id", "genres", "release_year", "popularity", *world.response.item_fields}
    assert columns == {
        *("request_id", "user_id", "timestamp", "candidates", "upstream_scores"),
        *("shown", "clicks", "conversions"),
    }
    assert {f.name for f in tables.schema.fields} == {
        *item_fields,
        *("upstream_score", "upstream_rank"),
        *("clicked", "converted", "user_id", "age", "gender", "occupation"),
    }
    rows = pq.read_table(log / "impressions").sort_by("request_id")
    taste = world.taste[tables.user_index[:, None], tables.candidates]
    noise = np.asarray(rows["upstream_scores"].to_pylist()) - 0.8 * taste
    assert tables.request_ids.tolist() == rows["request_id"].to_pylist()
    # upstream score = .8 s + N(0, .8): what is left is that noise, not the taste in disguise
    assert noise.std() == pytest.approx(0.8, abs=0.02)
    assert np.corrcoef(noise.ravel(), taste.ravel())[0, 1] == pytest.approx(0, abs=0.02)


def test_build_log_tables_does_not_read_world(made):
    log, tables, _ = made
    held = (log / WORLD_NPZ).read_bytes()
    try:
        (log / WORLD_NPZ).write_bytes(b"nobody may read this")
        assert log_fingerprint(log) == tables.fingerprint
        again = build_log_tables(log)
    finally:
        (log / WORLD_NPZ).write_bytes(held)

    for name, array in vars(tables).items():
        if isinstance(array, np.ndarray):
            assert np.array_equal(array, getattr(again, name)), name


def test_click_probabilities_broadcast_user_and_accept_any_length(made):
    _, tables, world = made
    lists = _shown_items(tables)[:50]
    users = np.full(50, 3)

    whole = world.click_probabilities(users, lists)

    assert np.array_equal(world.click_probabilities(3, lists), whole)
    assert world.expected_clicks(3, lists) == pytest.approx(whole.sum(axis=1))
    assert world.click_probabilities(3, lists[:, :2]).shape == (50, 2)
    rows = world.click_probabilities(users, lists[::-1])
    assert rows == pytest.approx(whole[::-1])


def test_load_click_world_round_trips_or_fails(made, tmp_path):
    log, _, world = made
    again = load_click_world(log)

    assert again.response == world.response
    for name, values in vars(world.attributes).items():
        if isinstance(values, np.ndarray):
            assert np.array_equal(values, getattr(again.attributes, name)), name
    users, items = np.arange(40), np.arange(120).reshape(40, 3)
    assert np.array_equal(
        again.click_probabilities(users, items), world.click_probabilities(users, items)
    )
    with pytest.raises(DataConfigError, match="this log is not simulated"):
        load_click_world(tmp_path)


def test_simulated_log_depends_only_on_seed(tmp_path):
    wheel = write_ratings_wheel(tmp_path / "some.whl")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_click_world_log(wheel, tmp_path / name, ClickWorldConfig(lists=400, seed=seed))

    assert log_fingerprint(tmp_path / "a") == log_fingerprint(tmp_path / "b")
    assert log_fingerprint(tmp_path / "a") != log_fingerprint(tmp_path / "c")


def test_predict_ratings_beats_mean_rating(tmp_path):
    data = read_ml100k(write_ratings_wheel(tmp_path / "some.whl"))
    r = data.ratings
    stars = predict_ratings(r, 40, 150, FactorizationConfig(rank=4), seed=0)

    error = stars[r.user, r.item] - r.stars
    assert (error**2).mean() < 0.6 * r.stars.var()
    assert (standardize(stars).mean(), standardize(stars).std()) == pytest.approx((0, 1))


@pytest.mark.parametrize(
    ("preset", "form", "size"),
    [
        ("click_world_4of12.toml", "listwise", (12, 4)),
        ("click_world_10of50.toml", "listwise", (50, 10)),
        ("cascade_world_4of12.toml", "cascade", (12, 4)),
        ("systematic_bias_world_4of12.toml", "listwise", (12, 4)),
    ],
)
def test_presets_match_their_names(preset: str, form: str, size: tuple[int, int]):
    config = read_flat_toml(ClickWorldConfig, PRESETS / preset)

    assert config.form == form
    assert (config.candidates, config.slots) == size


def test_click_world_reference_preset_equals_defaults():
    config = read_flat_toml(ClickWorldConfig, PRESETS / "click_world_4of12.toml")

    assert config.response_model() == ClickWorldConfig().response_model()
    assert replace(config, parameters={}) == ClickWorldConfig()


def test_click_world_config_unknown_form_or_parameter_fails():
    with pytest.raises(ConfigError, match="form='nested': is none of listwise, cascade"):
        ClickWorldConfig(form="nested")
    with pytest.raises(ConfigError, match="form choice: unknown key 'outsid'"):
        ClickWorldConfig(form="choice", parameters={"outsid": 1.0})


@pytest.mark.parametrize(("slots", "candidates"), [(4, 12), (25, 25), (10, 50)])
def test_log_without_exploration_shows_upstream_order(slots: int, candidates: int, tmp_path: Path):
    wheel = write_ratings_wheel(tmp_path / "some.whl")
    config = ClickWorldConfig(
        form="choice", lists=400, slots=slots, candidates=candidates, exploration=0.0
    )

    write_click_world_log(wheel, tmp_path / "log", config)

    tables = build_log_tables(tmp_path / "log")
    assert tables.shown.shape == (500, slots)
    assert (tables.shown == np.arange(slots)).all()
    assert tables.clicks.sum() > 0


def test_world_npz_of_older_layout_asks_for_rebuild(tmp_path: Path):
    np.savez(tmp_path / WORLD_NPZ, form=np.asarray("listwise"))

    with pytest.raises(DataConfigError, match="build this log again"):
        load_click_world(tmp_path)
