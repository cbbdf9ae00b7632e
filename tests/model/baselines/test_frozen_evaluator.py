import pytest
import torch

from model.baselines.frozen_evaluator import FrozenEvaluator
from model.contract.scoring.objective import RewardWeights
from tests.model.baselines.brand_click_data import (
    make_batch,
    make_request,
    trained_evaluator,
)


def test_marginal_rewards_equal_loss_without_slot():
    evaluator, request = trained_evaluator(), make_request(5, seed=3)
    lists = make_batch(5, seed=3).shown

    marginal = evaluator.marginal_rewards(request, lists)

    whole = evaluator.mean_rewards(request, lists.unsqueeze(1)).squeeze(1)
    for slot in range(lists.shape[1]):
        valid = request.slot_valid.clone()
        valid[:, slot] = False
        without = evaluator.mean_rewards(
            request._replace(slot_valid=valid), lists.unsqueeze(1)
        ).squeeze(1)
        expected = (whole - without) * request.slot_valid[:, slot]
        assert torch.allclose(marginal[:, slot], expected, atol=1e-5)


def test_frozen_evaluator_with_value_objective_raises():
    with pytest.raises(ValueError, match="value"):
        FrozenEvaluator(trained_evaluator().evaluator, RewardWeights(value=1.0))
