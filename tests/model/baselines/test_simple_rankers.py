import pytest
import torch

from model.baselines.simple_rankers import InputOrderRanker, PopularityRanker
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TRAIN
from model.nets.request_tensors import input_list
from tests.model.baselines.brand_click_data import make_request, require_valid_lists
from tests.model.baselines.brand_click_log import brand_precision


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_input_order_ranker_perturbs_only_further_lists():
    request = make_request(6, seed=0)

    lists = InputOrderRanker().propose(request, 5, rng())

    require_valid_lists(lists, request, 5)
    assert torch.equal(lists[:, 0], input_list(request))
    assert not torch.equal(lists[:, 1], lists[:, 0])


def test_popularity_ranker_scores_are_smoothed_click_shares(brand_tables: LogTables):
    item = int(
        brand_tables.candidates[
            brand_tables.part_rows(TRAIN)[0],
            brand_tables.shown[brand_tables.part_rows(TRAIN)[0], 0],
        ]
    )
    shows = clicks = all_shows = all_clicks = 0
    for row in brand_tables.part_rows(TRAIN):
        for slot in range(brand_tables.shown_count[row]):
            clicked = int(brand_tables.clicks[row, slot])
            all_shows, all_clicks = all_shows + 1, all_clicks + clicked
            if brand_tables.candidates[row, brand_tables.shown[row, slot]] == item:
                shows, clicks = shows + 1, clicks + clicked
    expected = (clicks + 20.0 * (all_clicks + 1) / (all_shows + 2)) / (shows + 20.0)

    popularity = PopularityRanker.from_tables(brand_tables)

    own_row = int(brand_tables.items.rows_with_default[item][0])
    assert float(popularity._log_share[own_row].exp()) == pytest.approx(expected)


def test_popularity_ranker_ranks_clicked_items_first(brand_tables: LogTables):
    assert brand_precision(PopularityRanker.from_tables(brand_tables), brand_tables) > 0.9
