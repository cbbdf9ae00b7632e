from pathlib import Path

import numpy as np

from model.data.click_world import WorldConfig, write_click_world
from model.data.split import TRAIN
from model.data.tables import load_tables
from model.data.true_labels import with_true_clicks
from model.data.worlds import load_world
from tests.model.data.ratings import write_ratings


def test_training_lists_carry_the_worlds_probabilities_and_all_else_stays(tmp_path: Path):
    wheel = write_ratings(tmp_path / "some.whl")
    write_click_world(wheel, tmp_path / "log", WorldConfig(lists=400))
    tables, world = load_tables(tmp_path / "log"), load_world(tmp_path / "log")

    told = with_true_clicks(tables, world)

    training = tables.part == TRAIN
    assert 0 < training.sum() < len(training)
    assert np.array_equal(told.clicks[~training], tables.clicks[~training])
    for row in np.flatnonzero(training)[[0, 1, -1]]:
        items = tables.candidates[row][tables.shown[row]]
        expected = world.click_probabilities(int(tables.user_place[row]), items[None])[0]
        assert np.allclose(told.clicks[row], expected, atol=1e-6)
        assert set(tables.clicks[row].tolist()) <= {0, 1}
    assert np.array_equal(told.session_feedback, tables.session_feedback)
