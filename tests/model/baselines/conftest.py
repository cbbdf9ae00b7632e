"""Fixes the initial weights of nets, independent of the tests that ran before."""

from collections.abc import Iterator

import pytest
import torch

from model.data.tables.log_tables import LogTables
from tests.model.baselines.brand_click_log import build_brand_tables


@pytest.fixture(autouse=True)
def _same_first_weights() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def brand_tables(tmp_path_factory: pytest.TempPathFactory) -> LogTables:
    """Tables of a log in which items of one brand are always clicked."""
    return build_brand_tables(tmp_path_factory.mktemp("log"))
