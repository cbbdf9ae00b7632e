from pathlib import Path

import numpy as np

from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.ground_truth import load_click_world
from model.data.simulation.oracle_labels import with_oracle_clicks
from model.data.simulation.simulated_log import write_click_world_log
from model.data.tables.split import TRAIN
from model.data.tables.table_cache import load_log_tables
from tests.model.data.movielens.ratings_wheel import write_ratings_wheel


def test_with_oracle_clicks_changes_only_training_clicks(tmp_path: Path):
    wheel = write_ratings_wheel(tmp_path / "some.whl")
    write_click_world_log(wheel, tmp_path / "log", ClickWorldConfig(lists=400))
    tables, world = load_log_tables(tmp_path / "log"), load_click_world(tmp_path / "log")

    told = with_oracle_clicks(tables, world)

    training = tables.part == TRAIN
    assert 0 < training.sum() < len(training)
    assert np.array_equal(told.clicks[~training], tables.clicks[~training])
    for row in np.flatnonzero(training)[[0, 1, -1]]:
        items = tables.candidates[row][tables.shown[row]]
        expected = world.click_probabilities(int(tables.user_index[row]), items[None])[0]
        assert np.allclose(told.clicks[row], expected, atol=1e-6)
        assert set(tables.clicks[row].tolist()) <= {0, 1}
    assert np.array_equal(told.session_feedback, tables.session_feedback)
