"""Nets of these tests start from the same weights whatever ran before."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _same_first_weights() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
