from typing import Any

import pytest
import torch

from model.config import EvaluatorTraining
from model.lessons import Pupil
from model.losses import offer_loss, order_loss
from model.nets.evaluator import Evaluator
from model.nets.layers import take_lists
from tests.model.nets.test_evaluator import evaluator
from tests.model.nets.test_pair_evaluator import pair_evaluator
from tests.requests import first_candidates, random_request

NONE = {"upstream_order": 0.0, "upstream_offer": 0.0, "even_slots": 0.0}


def pupil(net: Evaluator | None = None, **weights: Any) -> Pupil:
    """A pair evaluator of two members with these lessons."""
    made = Pupil(net or pair_evaluator(members=2), EvaluatorTraining(**(NONE | weights)))
    with torch.no_grad():
        made.order_scale.copy_(torch.tensor([0.5, 2.0])[:, None, None])
        made.offer_scale.copy_(torch.tensor([3.0, 0.25])[:, None, None])
    return made


def test_both_lessons_of_upstream_read_affinity_on_scales_of_their_own():
    request = random_request()
    valid = request.cand_valid
    net = pair_evaluator(members=2)
    affinity = net.affinity(request)

    order = pupil(upstream_order=1.0).upstream(request)
    offer = pupil(upstream_offer=1.0).upstream(request)
    both = pupil(upstream_order=0.5, upstream_offer=2.0).upstream(request)

    scaled = affinity * torch.tensor([0.5, 2.0])[:, None, None]
    assert order.item() == pytest.approx(order_loss(scaled, valid).item(), rel=1e-6)
    others = torch.stack(  # the user of each request with the candidates of the next
        [
            net.affinity(request._replace(user=request.user[[b] * 3]))[:, (b + 1) % 3]
            for b in range(3)
        ],
        dim=1,
    )
    scale = torch.tensor([3.0, 0.25])[:, None, None]
    theirs = valid[[1, 2, 0]]
    expected = offer_loss(affinity * scale, others * scale, (valid, theirs))
    assert offer.item() == pytest.approx(expected.item(), rel=1e-6)
    assert both.item() == pytest.approx(0.5 * order.item() + 2.0 * offer.item(), rel=1e-6)


def test_one_request_alone_has_nobody_to_be_told_from():
    request = random_request(batch=1)

    assert pupil(upstream_offer=1.0).upstream(request).item() == 0.0


def test_lists_that_add_the_same_to_a_slot_always_cost_its_square():
    request = random_request(ragged=False)
    made = pupil(even_slots=2.0)
    net = made.evaluator
    encoded = net.encode(request)
    shown = take_lists(encoded.candidates, first_candidates(request).unsqueeze(1))

    cost = made.evenness(encoded, shown, request.slot_valid)

    mean = net.added(encoded, shown, request.slot_valid).mean(dim=(1, 2))  # (E, M)
    assert cost.item() == pytest.approx(2.0 * float((mean**2).sum()), rel=1e-5)


def test_slots_that_are_not_there_do_not_count_in_evenness():
    request = random_request()  # row b has b slots less
    made = pupil(even_slots=1.0)
    net = made.evaluator
    encoded = net.encode(request)
    shown = take_lists(encoded.candidates, first_candidates(request).unsqueeze(1))

    cost = made.evenness(encoded, shown, request.slot_valid)

    added = net.added(encoded, shown, request.slot_valid)[:, :, 0]
    means = [added[:, request.slot_valid[:, j], j].mean(dim=1) for j in range(4)]
    assert cost.item() == pytest.approx(float((torch.stack(means) ** 2).sum()), rel=1e-5)


def test_a_net_without_the_part_that_a_lesson_is_about_does_not_get_it():
    request = random_request()
    net = evaluator("nlgr")
    made = pupil(net, upstream_order=1.0, upstream_offer=1.0, even_slots=1.0)
    encoded = net.encode(request)
    shown = take_lists(encoded.candidates, first_candidates(request).unsqueeze(1))

    assert made.upstream(request).item() == 0.0
    assert made.evenness(encoded, shown, request.slot_valid).item() == 0.0
    with pytest.raises(NotImplementedError, match="NlgrEvaluator"):
        net.affinity(request)
    apart = pair_evaluator(members=2, interplay=False)  # knows affinity, adds no lists
    encoded = apart.encode(request)
    shown = take_lists(encoded.candidates, first_candidates(request).unsqueeze(1))
    made = pupil(apart, upstream_order=1.0, even_slots=1.0)
    assert made.upstream(request).item() > 0.0
    assert made.evenness(encoded, shown, request.slot_valid).item() == 0.0
