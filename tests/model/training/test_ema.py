import pytest
import torch

from model.training.ema import ema_weights, update_ema


def stepped(values: list[float], decay: float) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    """A weight that was moved to these values one after the other and followed."""
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    for value in values:
        weight.sum().backward()
        optimizer.step()
        with torch.no_grad():
            weight.copy_(torch.tensor([value, -value]))
        update_ema(optimizer, decay)
    return weight, optimizer


def test_ema_weights_swaps_average_in_and_out():
    weight, optimizer = stepped([1.0, 5.0, 3.0], 0.5)
    # the average starts at 1; kept is min(.5, (1 + n) / (10 + n)) = 3/12 for n = 2 and 4/13
    second = 1.0 * 3 / 12 + 5.0 * 9 / 12
    third = second * 4 / 13 + 3.0 * 9 / 13

    with ema_weights(optimizer):
        assert weight.tolist() == pytest.approx([third, -third])

    assert weight.tolist() == [3.0, -3.0]


def test_ema_weights_after_error_restores_weights():
    weight, optimizer = stepped([1.0, 5.0], 0.9)

    with pytest.raises(ValueError, match="inside"), ema_weights(optimizer):
        raise ValueError("inside")

    assert weight.tolist() == [5.0, -5.0]


def test_ema_weights_without_average_changes_nothing():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=0.1)

    with ema_weights(optimizer):
        assert weight.tolist() == [1.0, 1.0]
    update_ema(optimizer, 0.9)  # before any step
    weight.sum().backward()
    optimizer.step()

    assert weight.max() < 1.0


def test_ema_is_resumed_with_optimizer_state():
    weight, optimizer = stepped([1.0, 5.0], 0.9)
    fresh = torch.nn.Parameter(torch.zeros(2))
    resumed = torch.optim.AdamW([fresh], lr=0.1)
    resumed.load_state_dict(optimizer.state_dict())

    for one in (optimizer, resumed):
        for moved in (group["params"][0] for group in one.param_groups):
            moved.data.fill_(7.0)
        update_ema(one, 0.9)

    with ema_weights(optimizer), ema_weights(resumed):
        assert torch.equal(weight, fresh)
