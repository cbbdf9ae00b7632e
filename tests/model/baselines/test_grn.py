import pytest
import torch

from model.baselines.grn import Grn
from tests.model.baselines.brand_click_data import (
    DIMENSIONS,
    make_batch,
    trained_evaluator,
)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_grn_validation_loss_is_negative_mean_reward():
    net = Grn(DIMENSIONS, trained_evaluator()).eval()
    batch = make_batch(6, seed=5)

    loss = net.validation_loss(batch, rng())

    answer = net.propose(batch.request, 1, rng())
    assert loss.item() == pytest.approx(
        -trained_evaluator().mean_rewards(batch.request, answer).mean().item()
    )
    assert not any(name.startswith("evaluator") for name in net.state_dict())
