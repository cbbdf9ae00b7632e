"""Exponential moving average of trained weights, kept in the optimizer's own state.

It is saved and resumed with the optimizer. Knows neither nets nor losses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

_EMA, _EMA_STEPS = "average", "averaged_steps"


@torch.no_grad()
def update_ema(optimizer: torch.optim.Optimizer, decay: float) -> None:
    """Move the average towards the current weights; call after each step.

    The decay of step n is min(decay, (1 + n) / (10 + n)), so that the initial weights fade quickly.
    """
    for group in optimizer.param_groups:
        group[_EMA_STEPS] = seen = group.get(_EMA_STEPS, 0) + 1
        kept = min(decay, (1 + seen) / (10 + seen))
        for weight in group["params"]:
            if weight not in optimizer.state:
                continue  # the optimizer has not updated it yet
            state = optimizer.state[weight]
            if _EMA not in state:
                state[_EMA] = weight.detach().clone()
            state[_EMA].lerp_(weight, 1.0 - kept)


@contextlib.contextmanager
def ema_weights(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Context with the averaged weights in place of the current ones, where there is an average."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moving = [weight for weight in weights if _EMA in optimizer.state.get(weight, {})]
    present = [weight.detach().clone() for weight in moving]
    with torch.no_grad():
        for weight in moving:
            weight.copy_(optimizer.state[weight][_EMA])
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(moving, present, strict=True):
                weight.copy_(value)
