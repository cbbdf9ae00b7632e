from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from model.data.simulation.ground_truth import load_click_world
from model.data.simulation.world_family import read_world_family
from model.data.tables.split import TEST
from model.data.tables.table_cache import load_log_tables
from model.evaluation.worlds import reference_lists
from model.evaluation.worlds.reference_lists import measure_reference_lists
from model.evaluation.worlds.world_description import describe_world, description_table
from tests.model.evaluation.small_click_world import CANDIDATES, SLOTS, small_scenario


def test_described_world_matches_brute_force(tmp_path: Path):
    scenario = small_scenario(tmp_path)
    tables, world = load_log_tables(scenario.log), load_click_world(scenario.log)
    rows = tables.part_rows(TEST)
    inputs, tastes, bests = [], [], []
    for row in rows:
        user, items = int(tables.user_index[row]), tables.candidates[row]
        by_taste = items[np.argsort(-world.taste[user, items])]
        lists = np.array(list(permutations(items, SLOTS)))
        bests.append(world.expected_clicks(user, lists).max())
        inputs.append(world.expected_clicks(user, items[None, :SLOTS])[0])
        tastes.append(world.expected_clicks(user, by_taste[None, :SLOTS])[0])

    reference = measure_reference_lists(world, tables, rows)
    found = describe_world(
        {
            "true_input": reference.input,
            "true_taste": reference.taste,
            "true_best": reference.best,
        },
        SLOTS,
    )

    gain = sum(bests) - sum(inputs)
    assert found.clicks == pytest.approx(np.mean(inputs))
    assert found.click_rate == pytest.approx(np.mean(inputs) / SLOTS)
    assert found.headroom == pytest.approx(gain / sum(inputs))
    assert found.taste_share == pytest.approx((sum(tastes) - sum(inputs)) / gain)
    assert found.taste_worse == np.mean(np.array(tastes) < np.array(inputs) - 1e-9)
    line = description_table([(read_world_family()["choice"], found)]).splitlines()[2]
    assert line.startswith(f"| choice | {found.click_rate:.1%} | {found.clicks:.2f} |")


def test_best_list_of_large_space_is_climbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scenario = small_scenario(tmp_path)
    tables, world = load_log_tables(scenario.log), load_click_world(scenario.log)
    rows = tables.part_rows(TEST)
    exact = measure_reference_lists(world, tables, rows).best

    monkeypatch.setattr(reference_lists, "is_enumerable", lambda *_: False)
    climbed = measure_reference_lists(world, tables, rows).best
    monkeypatch.setattr(reference_lists, "MAX_CLIMB_NEIGHBORS", CANDIDATES * SLOTS - 1)
    unknown = measure_reference_lists(world, tables, rows).best

    assert (climbed <= exact + 1e-9).all()
    assert climbed.mean() > 0.99 * exact.mean()
    assert np.isnan(unknown).all()
