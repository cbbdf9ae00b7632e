"""Click models against their definitions, list by list."""

import math

import pytest
import torch

from model.nets.evaluators.click_heads import ClickHeads

SLOTS, LISTS = 4, 5


def made(models: tuple[str, ...]) -> ClickHeads:
    torch.manual_seed(3)
    heads = ClickHeads(models, SLOTS)
    for parameter in heads.parameters():
        torch.nn.init.normal_(parameter)
    return heads.requires_grad_(False)


def logits(members: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(7)
    shape = (members, 2, SLOTS, LISTS)
    return torch.randn(shape, generator=rng), torch.randn(shape, generator=rng)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def test_click_heads_follow_definition_of_each_model():
    heads = made(("position", "choice", "cascade"))
    z, e = logits(3)
    weight = torch.ones(2, SLOTS, 1)

    p = heads(z, e, weight)

    outside, satisfied = heads.outside_logit[1].item(), heads.satisfaction_logit[2].item()
    for b in range(2):
        for r in range(LISTS):
            appeal, examined = z[:, b, :, r].tolist(), e[:, b, :, r].tolist()
            choice = [sigmoid(x) * math.exp(a) for a, x in zip(appeal[1], examined[1], strict=True)]
            reading = 1.0
            for j in range(SLOTS):
                position = sigmoid(appeal[0][j]) * sigmoid(examined[0][j])
                assert p[0, b, j, r].item() == pytest.approx(position, abs=1e-6)
                chosen = choice[j] / (math.exp(outside) + sum(choice))
                assert p[1, b, j, r].item() == pytest.approx(chosen, abs=1e-6)
                clicked = sigmoid(appeal[2][j])
                assert p[2, b, j, r].item() == pytest.approx(reading * clicked, abs=1e-6)
                reading *= sigmoid(examined[2][j]) * (1.0 - sigmoid(satisfied) * clicked)


def test_choice_probabilities_of_a_list_sum_below_one():
    z, e = logits(2)

    p = made(("choice", "choice"))(1e3 * z, e, torch.ones(2, SLOTS, 1))

    assert p.isfinite().all()
    assert (p.sum(dim=2) <= 1.0).all()


@pytest.mark.parametrize("model", ["position", "choice", "cascade"])
def test_padded_slots_change_neither_value_nor_gradient(model):
    heads = made((model,))
    z, e = logits(1)
    weight = torch.ones(2, SLOTS, 1)
    weight[:, -1] = 0.0
    other = z.clone()
    other[:, :, -1] = 9.0
    z.requires_grad_(True)

    p = heads(z, e, weight)
    (p * weight).sum().backward()

    assert torch.equal(p[:, :, :-1], heads(other, e, weight)[:, :, :-1])
    assert z.grad is not None
    assert (z.grad[:, :, -1] == 0).all()
    assert (z.grad[:, :, :-1] != 0).all()
