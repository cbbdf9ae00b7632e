from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from model.config.toml_reader import ConfigError, parse_table
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.fresh_items_log import HOUR_MS
from model.data.simulation.ground_truth import load_click_world
from model.data.simulation.simulated_log import write_click_world_log
from model.data.tables.split import TEST, TRAIN
from model.data.tables.table_builder import build_log_tables, log_fingerprint
from tests.model.data.movielens.ratings_wheel import write_ratings_wheel

COUNTERS = ("impressions_so_far", "clicks_so_far", "smoothed_ctr", "age_hours")


def _config(seed: int = 0) -> ClickWorldConfig:
    return ClickWorldConfig(
        form="decoy",
        lists=2_400,
        days=12,
        seed=seed,
        fresh_items_per_day=20,
        upstream_weight=0.0,
        exploration=0.0,
    )


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    write_click_world_log(write_ratings_wheel(folder / "some.whl"), folder / "log", _config())
    return folder / "log"


def test_fresh_items_counters_count_only_earlier_hours(log: Path):
    rows = pq.read_table(log / "impressions").to_pylist()
    assert len(rows) == 3_000
    events = [
        (row["timestamp"], item, click)
        for row in rows
        for item, click in zip(row["shown"], row["clicks"], strict=True)
    ]
    time = np.array([event[0] for event in events])
    item = np.array([event[1] for event in events])
    click = np.array([event[2] for event in events])

    for row in rows[::150]:
        before = time < row["timestamp"] // HOUR_MS * HOUR_MS
        for place, name in enumerate(row["candidates"]):
            mine = before & (item == name)
            assert row["impressions_so_far"][place] == mine.sum()
            assert row["clicks_so_far"][place] == click[mine].sum()
            smoothed = (click[mine].sum() + 1.0) / (mine.sum() + 20.0)
            assert row["smoothed_ctr"][place] == pytest.approx(smoothed)
            assert 0 <= row["age_hours"][place] < 48
    assert max(row["impressions_so_far"][0] for row in rows) > 10


def test_fresh_items_of_test_part_are_new(log: Path):
    tables, world = build_log_tables(log), load_click_world(log)

    known = np.unique(tables.candidates[tables.part == TRAIN])
    later = tables.candidates[tables.part == TEST]

    assert np.isin(later, known).mean() < 0.9
    assert np.isin(later[-50:], known).mean() == 0
    assert list(world.item_ids) == list(tables.items.ids)
    p = world.click_probabilities(
        tables.user_index, np.take_along_axis(tables.candidates, tables.shown, axis=1)
    )
    # four standard errors of a rate over 12,000 shown items
    assert tables.clicks.mean() == pytest.approx(p.mean(), abs=4 * 0.5 / 12_000**0.5)


def test_fresh_items_have_only_counters_and_price(log: Path):
    schema = build_log_tables(log).schema

    assert {f.name for f in schema.candidate_fields} == {
        *("item_id", "price", "upstream_score", "upstream_rank", *COUNTERS),
    }


def test_fresh_items_log_depends_only_on_seed(log: Path, tmp_path: Path):
    wheel = write_ratings_wheel(tmp_path / "some.whl")
    for name, seed in (("again", 0), ("other", 1)):
        write_click_world_log(wheel, tmp_path / name, _config(seed))

    assert log_fingerprint(tmp_path / "again") == log_fingerprint(log)
    assert log_fingerprint(tmp_path / "other") != log_fingerprint(log)


def test_too_few_fresh_items_are_refused():
    with pytest.raises(ConfigError, match="are too few for 12 candidates"):
        parse_table(ClickWorldConfig, {"fresh_items_per_day": 6}, "c.toml")
