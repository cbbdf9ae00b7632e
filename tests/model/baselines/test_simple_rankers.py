"""Orders: upstream's, popularity, trees; on a log in which one brand is always clicked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.baselines.lambdamart import LambdaMart, LambdaMartSettings
from model.baselines.ranker import Ranker
from model.baselines.simple_rankers import InputOrderRanker, PopularityRanker
from model.baselines.tree_features import TreeFeatures
from model.contract.schema.declared import CLICKED
from model.contract.schema.fitted import FIRST_VALUE_OFFSET
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST, TRAIN
from model.data.tables.table_cache import build_log_tables
from model.nets.request_tensors import input_list
from tests.model.baselines.brand_click_data import make_request, require_valid_lists
from tests.toy_log import write_toy_log

BRAND_COLUMN = 1  # after the item id


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> LogTables:
    """A toy log whose clicks are rewritten: brand acme always, no other ever."""
    made = build_log_tables(write_toy_log(tmp_path_factory.mktemp("log")), history_length=3)
    place = np.take_along_axis(made.candidates, made.shown, axis=1)
    shown = np.arange(made.slots) < made.shown_count[:, None]
    clicked = made.items.rows_with_default[place][..., BRAND_COLUMN] == acme_brand_row(made)
    return replace(made, clicks=np.where(shown, clicked, -1).astype(np.int8))


def acme_brand_row(tables: LogTables) -> int:
    field = tables.schema.field("brand")
    return tables.schema.block_starts["brand"] + field.value_offsets["acme"]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_the_input_order_answers_with_the_first_candidates_and_varies_only_further_lists():
    request = make_request(6, seed=0)

    lists = InputOrderRanker().propose(request, 5, rng())

    require_valid_lists(lists, request, 5)
    assert torch.equal(lists[:, 0], input_list(request))
    assert not torch.equal(lists[:, 1], lists[:, 0])


def test_popularity_is_the_smoothed_click_share_of_the_training_part(tables: LogTables):
    item = int(
        tables.candidates[tables.part_rows(TRAIN)[0], tables.shown[tables.part_rows(TRAIN)[0], 0]]
    )
    shows = clicks = all_shows = all_clicks = 0
    for row in tables.part_rows(TRAIN):
        for slot in range(tables.shown_count[row]):
            clicked = int(tables.clicks[row, slot])
            all_shows, all_clicks = all_shows + 1, all_clicks + clicked
            if tables.candidates[row, tables.shown[row, slot]] == item:
                shows, clicks = shows + 1, clicks + clicked
    expected = (clicks + 20.0 * (all_clicks + 1) / (all_shows + 2)) / (shows + 20.0)

    popularity = PopularityRanker.from_tables(tables)

    own_row = int(tables.items.rows_with_default[item][0])
    assert float(popularity._log_share[own_row].exp()) == pytest.approx(expected)


def test_popularity_puts_items_first_that_were_clicked_more(tables: LogTables):
    assert brand_precision(PopularityRanker.from_tables(tables), tables) > 0.9


def test_trees_learn_the_brand_that_is_clicked_and_propose_valid_lists(
    tables: LogTables, tmp_path: Path
):
    trees = LambdaMart.fit(tables, LambdaMartSettings(num_trees=20, min_leaf_size=5), tmp_path)

    assert brand_precision(trees, tables) > 0.95


def test_trees_count_past_items_of_the_same_value(tables: LogTables):
    request = BatchLoader(tables).gather(tables.part_rows(TEST)[:4]).request
    features = TreeFeatures(tables.schema)

    table = features.feature_table(request)

    item_fields = len(features._shared)
    columns = 1 + request.candidates.shape[-1] + request.user.shape[-1]
    brand_seen = table[..., columns + 2 * BRAND_COLUMN]
    brand_clicked = table[..., columns + 2 * BRAND_COLUMN + 1]
    assert table.shape[-1] == columns + 2 * item_fields
    clicked_row = tables.schema.block_starts[CLICKED] + FIRST_VALUE_OFFSET + 1
    for row in range(4):
        brands = [
            (int(past[BRAND_COLUMN]), int(past[-2]) == clicked_row)
            for session, there in zip(request.sessions[row], request.sess_valid[row], strict=True)
            for past, held in zip(session, there, strict=True)
            if held
        ]
        assert brands, "the rows looked at have a history"
        for candidate in range(int(request.cand_valid[row].sum())):
            own = int(request.candidates[row, candidate, BRAND_COLUMN])
            same = [clicked for brand, clicked in brands if brand == own]
            assert brand_seen[row, candidate] == len(same)
            assert brand_clicked[row, candidate] == sum(same)


def brand_precision(ranker: Ranker, tables: LogTables) -> float:
    """Of the slots that acme items could fill in test requests, the share that they do."""
    request = BatchLoader(tables).gather(tables.part_rows(TEST)).request
    lists = ranker.propose(request, 3, rng())
    require_valid_lists(lists, request, 3)
    is_acme = request.candidates[..., BRAND_COLUMN] == acme_brand_row(tables)
    hit = is_acme.gather(1, lists[:, 0]) & request.slot_valid
    could = torch.minimum(is_acme.sum(dim=1), request.slot_valid.sum(dim=1))
    return float(hit.sum() / could.sum())


def test_trees_grown_twice_from_one_seed_or_read_again_are_the_same(
    tables: LogTables, tmp_path: Path
):
    settings = LambdaMartSettings(num_trees=10, min_leaf_size=5)
    one = LambdaMart.fit(tables, settings, tmp_path / "one")
    two = LambdaMart.fit(tables, settings, tmp_path / "two")
    again = LambdaMart.fit(tables, settings, tmp_path / "one")
    request = BatchLoader(tables).gather(tables.part_rows(TEST)).request
    assert torch.equal(one.propose(request, 2, rng()), two.propose(request, 2, rng()))
    assert torch.equal(one.propose(request, 2, rng()), again.propose(request, 2, rng()))


def test_trees_of_other_settings_are_not_read_but_grown(tables: LogTables, tmp_path: Path):
    LambdaMart.fit(tables, LambdaMartSettings(num_trees=10, min_leaf_size=5), tmp_path)
    kept = (tmp_path / "trees.txt").read_text(encoding="utf-8")

    LambdaMart.fit(tables, LambdaMartSettings(num_trees=3, min_leaf_size=5), tmp_path)

    assert (tmp_path / "trees.txt").read_text(encoding="utf-8") != kept
