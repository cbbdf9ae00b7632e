from typing import Any

import pytest
import torch

from model.config.pipeline_config import EvaluatorTrainingConfig
from model.nets.blocks.layers import gather_lists
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.training.auxiliary_losses import EvaluatorWithAuxiliaryLosses
from model.training.losses import listmle_loss, sampled_softmax_loss
from tests.model.nets.evaluators.test_abstract_evaluator import evaluator
from tests.model.nets.evaluators.test_pair_evaluator import pair_evaluator
from tests.random_requests import input_lists, random_request

NONE = {"listmle_weight": 0.0, "sampled_softmax_weight": 0.0, "slot_bias_weight": 0.0}


def pupil(net: Evaluator | None = None, **weights: Any) -> EvaluatorWithAuxiliaryLosses:
    """A pair evaluator of two members with these lessons."""
    made = EvaluatorWithAuxiliaryLosses(
        net or pair_evaluator(members=2), EvaluatorTrainingConfig(**(NONE | weights))
    )
    with torch.no_grad():
        made.listmle_scale.copy_(torch.tensor([0.5, 2.0])[:, None, None])
        made.sampled_softmax_scale.copy_(torch.tensor([3.0, 0.25])[:, None, None])
    return made


def test_candidate_loss_scales_affinity_per_loss():
    request = random_request()
    valid = request.cand_valid
    net = pair_evaluator(members=2)
    affinity = net.user_item_affinity(request)

    order = pupil(listmle_weight=1.0).candidate_loss(request)
    offer = pupil(sampled_softmax_weight=1.0).candidate_loss(request)
    both = pupil(listmle_weight=0.5, sampled_softmax_weight=2.0).candidate_loss(request)

    scaled = affinity * torch.tensor([0.5, 2.0])[:, None, None]
    assert order.item() == pytest.approx(listmle_loss(scaled, valid).item(), rel=1e-6)
    others = torch.stack(  # the user of each request with the candidates of the next
        [
            net.user_item_affinity(request._replace(user=request.user[[b] * 3]))[:, (b + 1) % 3]
            for b in range(3)
        ],
        dim=1,
    )
    scale = torch.tensor([3.0, 0.25])[:, None, None]
    theirs = valid[[1, 2, 0]]
    expected = sampled_softmax_loss(affinity * scale, others * scale, (valid, theirs))
    assert offer.item() == pytest.approx(expected.item(), rel=1e-6)
    assert both.item() == pytest.approx(0.5 * order.item() + 2.0 * offer.item(), rel=1e-6)


def test_candidate_loss_of_one_request_skips_contrast():
    request = random_request(batch=1)

    assert pupil(sampled_softmax_weight=1.0).candidate_loss(request).item() == 0.0


def test_slot_bias_loss_is_squared_mean_effect():
    request = random_request(ragged=False)
    made = pupil(slot_bias_weight=2.0)
    net = made.evaluator
    encoded = net.encode(request)
    shown = gather_lists(encoded.candidates, input_lists(request).unsqueeze(1))

    cost = made.slot_bias_loss(encoded, shown, request.slot_valid)

    mean = net.list_effects(encoded, shown, request.slot_valid).mean(dim=(1, 2))  # (E, M)
    assert cost.item() == pytest.approx(2.0 * float((mean**2).sum()), rel=1e-5)


def test_slot_bias_loss_ignores_padded_slots():
    request = random_request()  # row b has b slots less
    made = pupil(slot_bias_weight=1.0)
    net = made.evaluator
    encoded = net.encode(request)
    shown = gather_lists(encoded.candidates, input_lists(request).unsqueeze(1))

    cost = made.slot_bias_loss(encoded, shown, request.slot_valid)

    added = net.list_effects(encoded, shown, request.slot_valid)[:, :, 0]
    means = [added[:, request.slot_valid[:, j], j].mean(dim=1) for j in range(4)]
    assert cost.item() == pytest.approx(float((torch.stack(means) ** 2).sum()), rel=1e-5)


def test_auxiliary_losses_without_needed_part_are_zero():
    request = random_request()
    net = evaluator("nlgr")
    made = pupil(net, listmle_weight=1.0, sampled_softmax_weight=1.0, slot_bias_weight=1.0)
    encoded = net.encode(request)
    shown = gather_lists(encoded.candidates, input_lists(request).unsqueeze(1))

    assert made.candidate_loss(request).item() == 0.0
    assert made.slot_bias_loss(encoded, shown, request.slot_valid).item() == 0.0
    with pytest.raises(NotImplementedError, match="NlgrEvaluator"):
        net.user_item_affinity(request)
    apart = pair_evaluator(members=2, item_interactions=False)  # knows affinity, adds no lists
    encoded = apart.encode(request)
    shown = gather_lists(encoded.candidates, input_lists(request).unsqueeze(1))
    made = pupil(apart, listmle_weight=1.0, slot_bias_weight=1.0)
    assert made.candidate_loss(request).item() > 0.0
    assert made.slot_bias_loss(encoded, shown, request.slot_valid).item() == 0.0
