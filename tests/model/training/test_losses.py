import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from model.config.pipeline_config import EvaluatorConfig, GeneratorConfig
from model.contract.scoring.objective import RewardWeights, compute_rewards
from model.nets.blocks.layers import gather_lists
from model.nets.build import build_evaluator, build_generator
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.replacement_sampling import (
    SamplingNoise,
    SlotChoices,
    sample_replacements,
)
from model.nets.request_tensors import RequestTensors
from model.search.neighbors import all_neighbors, relaxed_neighbors, replace_each_slot
from model.search.rewards import list_reward, shape_reward
from model.training.losses import (
    expected_reward_loss,
    feedback_loss,
    listmle_loss,
    position_loss,
    sampled_reward_loss,
    sampled_softmax_loss,
    straight_through_choice,
    straight_through_reward_loss,
)
from tests.random_requests import TOY_FIELDS, TOY_SLOTS, input_lists, random_request

PDU = ("pdu_",)
CRU = ("cru_", "position", "masked")


@dataclass
class Step:
    """One training step on random nets, up to the gains."""

    net: Generator
    evaluator: Evaluator
    request: RequestTensors
    lists: Tensor
    choices: SlotChoices
    q: Tensor
    gain: Tensor


def a_step(*, swap: bool = False) -> Step:
    torch.manual_seed(0)
    evaluator = build_evaluator(
        EvaluatorConfig(kind="nlgr", hidden=8, members=2), TOY_FIELDS, TOY_SLOTS
    )
    evaluator.requires_grad_(False)
    net = build_generator(
        GeneratorConfig(kind="nlgr", hidden=8), EvaluatorConfig(kind="nlgr"), TOY_FIELDS, TOY_SLOTS
    )
    request = random_request()
    lists = input_lists(request)
    b, m, n = *lists.shape, request.cand_valid.shape[1]
    noise = torch.randn(b, m, n)
    if swap:  # slot j wants the item of slot j + 1
        noise = noise + 100.0 * torch.eye(n)[(torch.arange(m) + 1) % m]
    none = torch.zeros(b, m, dtype=torch.bool)
    encoded = evaluator.encode(request)
    state = net.encode(request, encoded)
    choices = sample_replacements(net, state, request, lists, SamplingNoise(noise, none))
    hard = torch.nn.functional.one_hot(choices.replacements, n).float()
    q = straight_through_choice(choices.noisy_item_logits, hard, 1.0)
    mixed = relaxed_neighbors(encoded.candidates, lists, q, request.slot_valid)
    p_click, p_conversion = evaluator.score(encoded, mixed, request.slot_valid)
    value = list_reward(p_click, p_conversion, None, RewardWeights()).mean(dim=0)
    return Step(net, evaluator, request, lists, choices, q, shape_reward(value, 1.0) - 0.1)


def gradient(net: Generator, prefixes: tuple[str, ...]) -> float:
    return sum(
        float(p.grad.abs().sum())
        for name, p in net.named_parameters()
        if name.startswith(prefixes) and p.grad is not None
    )


@pytest.mark.parametrize("swap", [False, True], ids=["replacement", "swap"])
def test_item_loss_gradient_reaches_cru_only(swap: bool):
    step = a_step(swap=swap)

    straight_through_reward_loss(step.gain, step.request.slot_valid).mean().backward()

    assert gradient(step.net, CRU) > 0
    assert gradient(step.net, PDU) == 0
    assert all(p.grad is None for p in step.evaluator.parameters())


def test_position_loss_gradient_reaches_pdu_only():
    step = a_step()

    position_loss(step.choices.slot_log_probs, step.gain, step.request.slot_valid).mean().backward()

    assert gradient(step.net, PDU) > 0
    assert gradient(step.net, CRU) == 0


def test_relaxed_neighbors_of_one_hot_are_hard():
    candidates = torch.randn(2, 1, 5, 3)  # E=2, one request, five candidates
    lists = torch.tensor([[0, 1, 2]])
    valid = torch.ones(1, 3, dtype=torch.bool)
    items = torch.tensor([[4, 2, 2]])  # slot 0: replacement; slot 1: swap with slot 2; slot 2: stay
    q = torch.nn.functional.one_hot(items, 5).float().requires_grad_()

    mixed = relaxed_neighbors(candidates, lists, q, valid)

    hard = replace_each_slot(lists, items, valid)
    assert hard.tolist() == [[[4, 1, 2], [0, 2, 1], [0, 1, 2]]]
    assert torch.allclose(mixed, gather_lists(candidates, hard))
    # slot 2 of neighbor 1 holds (1 - q_12) X_2 + q_12 X_1: its slope in q_12 is X_1 - X_2
    slope = torch.autograd.grad(mixed[:, 0, 1, 2].sum(), q)[0]
    expected = (candidates[:, 0, 1] - candidates[:, 0, 2]).sum()
    assert slope[0, 1, 2].item() == pytest.approx(expected.item(), rel=1e-5)
    assert slope[0, 1, 4] == 0  # candidate 4 stands in no slot


def test_all_neighbors_are_one_edit_away():
    lists = torch.tensor([[0, 1, 2, 3], [5, 4, 0, 0]])
    valid = torch.tensor([[True] * 4, [True, True, False, False]])

    every = all_neighbors(lists, 6, valid)

    assert every.shape == (2, 4, 6, 4)
    for b in range(2):
        there = valid[b].nonzero().flatten().tolist()
        before = [int(lists[b, j]) for j in there]
        for j in range(4):
            for k in range(6):
                after = [int(every[b, j, k, slot]) for slot in there]
                moved = [at for at, (x, y) in enumerate(zip(before, after, strict=True)) if x != y]
                if j not in there or before[there.index(j)] == k:
                    assert moved == []
                elif k in before:
                    other = before.index(k)
                    assert moved == sorted({there.index(j), other})
                    assert (after[j], after[other]) == (k, before[j])
                else:
                    assert moved == [j]
                    assert after[j] == k


def test_straight_through_choice_has_softmax_gradient():
    logits = torch.tensor([[0.5, 1.5, -1.0]], requires_grad=True)
    hard = torch.tensor([[1.0, 0.0, 0.0]])
    worth = torch.tensor([1.0, 2.0, 4.0])

    q = straight_through_choice(logits, hard, 0.5)
    (q * worth).sum().backward()

    assert torch.allclose(q, hard)
    p = torch.softmax(logits.detach() / 0.5, dim=-1)
    expected = p * (worth - (p * worth).sum()) / 0.5
    assert logits.grad is not None
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_position_loss_without_gain_is_zero():
    log_p = torch.log(torch.tensor([[0.25, 0.75], [0.25, 0.75]]))
    gain = torch.tensor([[-1.0, -2.0], [3.0, 1.0]])
    valid = torch.ones(2, 2, dtype=torch.bool)

    loss = position_loss(log_p, gain, valid)

    # list 0 costs 0; list 1: targets 3/4 and 1/4
    assert loss[0].item() == 0.0
    expected = -(0.75 * math.log(0.25) + 0.25 * math.log(0.75))
    assert loss[1].item() == pytest.approx(expected, rel=1e-6)


def test_expected_reward_loss_is_negative_mean_gain():
    p = torch.tensor([[[0.2, 0.8], [0.5, 0.5]], [[0.1, 0.9], [1.0, 0.0]]])
    gain = torch.tensor([[[1.0, -1.0], [2.0, 4.0]], [[3.0, 1.0], [9.0, 9.0]]])
    valid = torch.tensor([[True, True], [True, False]])

    loss = expected_reward_loss(p.clamp(min=1e-30).log(), gain, valid)

    assert loss.tolist() == pytest.approx([-((0.2 - 0.8) + 3.0), -(0.3 + 0.9)], rel=1e-5)


def test_sampled_reward_loss_gradient_matches_expected():
    logits = torch.tensor([[[0.3, -0.2, 0.9]], [[1.0, 0.0, -1.0]]], requires_grad=True)
    gain = torch.tensor([[[0.5, -1.0, 0.2]], [[2.0, 0.1, -0.3]]])
    valid = torch.ones(2, 1, dtype=torch.bool)
    log_p = torch.log_softmax(logits, dim=-1)
    exact = torch.autograd.grad(
        expected_reward_loss(log_p, gain, valid).sum(), logits, retain_graph=True
    )[0]

    total = torch.zeros_like(logits)
    for k in range(3):  # the mean over what could be sampled, weighted by its probability
        chosen, own = log_p[..., k], gain[..., k]
        each = sampled_reward_loss(chosen, own, valid) * log_p[..., k].exp().detach().squeeze(-1)
        total = total + torch.autograd.grad(each.sum(), logits, retain_graph=True)[0]

    assert torch.allclose(total, exact, atol=1e-6)


def test_listmle_loss_matches_plackett_luce():
    logits = torch.tensor([[[1.0, 0.0, 2.0], [0.5, 1.5, 9.0]]])  # one member
    valid = torch.tensor([[True, True, True], [True, True, False]])

    def least(first: float, *rest: float) -> float:
        return -math.log(math.exp(first) / sum(math.exp(x) for x in (first, *rest)))

    expected = least(1.0, 0.0, 2.0) + least(0.0, 2.0) + 0.0 + least(0.5, 1.5) + 0.0
    both = torch.cat([logits, 3 * logits])
    loss = listmle_loss(logits, valid)
    assert loss.item() == pytest.approx(expected / 5, rel=1e-6)
    more = listmle_loss(both, valid) - listmle_loss(3 * logits, valid)
    assert more.item() == pytest.approx(loss.item(), rel=1e-5), "members are summed"


def test_upstream_losses_ignore_padded_candidates():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    valid = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)

    loss = listmle_loss(logits, valid) + sampled_softmax_loss(
        logits, logits.roll(1, 1), (valid, valid.roll(1, 0))
    )
    (gradient,) = torch.autograd.grad(loss, logits)

    assert gradient[:, ~valid].abs().max() == 0
    assert gradient[:, 0].abs().min() > 0


def test_sampled_softmax_loss_contrasts_other_request():
    own = torch.tensor([[[1.0, -1.0], [0.3, 0.0]]])
    others = torch.tensor([[[0.5, 0.2], [2.0, -7.0]]])
    valid = torch.tensor([[True, True], [True, False]])
    theirs = torch.tensor([[True, True], [True, False]])

    def least(mine: float, *away: float) -> float:
        return -math.log(math.exp(mine) / sum(math.exp(x) for x in (mine, *away)))

    expected = least(1.0, 0.5, 0.2) + least(-1.0, 0.5, 0.2) + least(0.3, 2.0)
    assert sampled_softmax_loss(own, others, (valid, theirs)).item() == pytest.approx(
        expected / 3, rel=1e-6
    )


def test_feedback_loss_weighs_lists_per_member():
    p_click = torch.tensor([[[0.2, 0.6], [0.5, 0.9]], [[0.3, 0.1], [0.8, 0.4]]])
    clicks = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    shown = torch.tensor([[True, True], [True, False]])
    weights = torch.tensor([[2.0, 0.5], [0.0, 3.0]])
    nothing = torch.zeros(2, 2)

    loss = feedback_loss(
        (p_click, p_click), clicks, nothing, (shown, torch.zeros_like(shown)), weights
    )

    first = 2.0 * -(math.log(0.8) + math.log(0.6)) + 0.5 * -math.log(0.5)
    second = 3.0 * -math.log(0.8)  # three slots are shown, whatever they count
    assert loss.item() == pytest.approx((first + second) / 3, rel=1e-5)


def test_feedback_loss_counts_observed_slots_only():
    p_click = torch.tensor([[[0.5, 0.25], [0.8, 0.9]]])
    p_conversion = torch.tensor([[[0.5, 0.5], [0.5, 0.1]]])
    clicks = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    conversions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    shown = torch.tensor([[True, True], [True, False]])
    known = torch.tensor([[True, False], [True, False]])

    loss = feedback_loss((p_click, p_conversion), clicks, conversions, (shown, known))

    click = -(math.log(0.5) + math.log(0.75) + math.log(0.8)) / 3
    conversion = -(math.log(0.25) + math.log(1 - 0.4)) / 2
    assert loss.item() == pytest.approx(click + conversion, rel=1e-5)


def test_shape_reward_is_monotonic_and_continuous():
    w = torch.linspace(0.0, 3.0, 601)
    r = shape_reward(w * 2.0, 2.0)

    assert (r.diff() > 0).all()
    assert r.diff().max() < 0.05  # no jump: the slope is at most e^2
    assert shape_reward(torch.tensor([2.0]), 2.0).item() == 0.0
    assert shape_reward(torch.tensor([2.2, 1.8]), 2.0).tolist() == pytest.approx(
        [math.exp(0.1) - 1, 1 - math.exp(0.1)], rel=1e-5
    )
    assert shape_reward(torch.tensor([100.0]), 2.0).item() == pytest.approx(math.exp(2.0) - 1)


@pytest.mark.parametrize("discount", [0.0, 1.0])
def test_list_reward_matches_serving_reward(discount: float):
    rng = np.random.default_rng(0)
    p_click, p_conversion = rng.random((2, 2, 3, 4, 5))
    values = rng.random((3, 4, 5)) * 10
    valid = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=bool)
    p_click = p_click * valid[:, None, :]
    objective = RewardWeights(click=0.5, conversion=2.0, value=0.1, discount=discount)

    serving = compute_rewards(p_click, p_conversion, values, valid, objective)
    training = list_reward(
        torch.from_numpy(p_click),
        torch.from_numpy(p_conversion),
        torch.from_numpy(values),
        objective,
    )

    assert np.allclose(serving, training.numpy(), rtol=1e-9)
