from pathlib import Path

import torch

from model.baselines.lambdamart import LambdaMart, LambdaMartSettings
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST
from tests.model.baselines.brand_click_log import brand_precision


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_lambdamart_fit_ranks_clicked_brand_first(brand_tables: LogTables, tmp_path: Path):
    ranker = LambdaMart.fit(
        brand_tables, LambdaMartSettings(num_trees=20, min_leaf_size=5), tmp_path
    )

    assert brand_precision(ranker, brand_tables) > 0.95


def test_lambdamart_fit_same_seed_or_cached_equal(brand_tables: LogTables, tmp_path: Path):
    settings = LambdaMartSettings(num_trees=10, min_leaf_size=5)
    first = LambdaMart.fit(brand_tables, settings, tmp_path / "one")
    second = LambdaMart.fit(brand_tables, settings, tmp_path / "two")
    cached = LambdaMart.fit(brand_tables, settings, tmp_path / "one")
    request = BatchLoader(brand_tables).gather(brand_tables.part_rows(TEST)).request
    assert torch.equal(first.propose(request, 2, rng()), second.propose(request, 2, rng()))
    assert torch.equal(first.propose(request, 2, rng()), cached.propose(request, 2, rng()))


def test_lambdamart_fit_other_settings_trains_again(brand_tables: LogTables, tmp_path: Path):
    LambdaMart.fit(brand_tables, LambdaMartSettings(num_trees=10, min_leaf_size=5), tmp_path)
    kept = (tmp_path / "trees.txt").read_text(encoding="utf-8")

    LambdaMart.fit(brand_tables, LambdaMartSettings(num_trees=3, min_leaf_size=5), tmp_path)

    assert (tmp_path / "trees.txt").read_text(encoding="utf-8") != kept
