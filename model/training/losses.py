"""Losses of both nets, without data, loops or nets.

Sources: docs/explanation/method.md#published-evaluator and
docs/explanation/method.md#generator-training.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_EPSILON = 1e-7  # probabilities are kept off 0 and 1 by this much inside logarithms


def feedback_loss(
    predicted: tuple[Tensor, Tensor],
    clicks: Tensor,
    conversions: Tensor,
    observed: tuple[Tensor, Tensor],
    weights: Tensor | None = None,
) -> Tensor:
    """BCE(p_click, click) + BCE(p_click p_conversion, conversion), mean over shown slots.

    Args:
        predicted: p_click and p_conversion, (E, B, M) each.
        clicks, conversions: (B, M) float 0/1.
        observed: (B, M) bool each, slots whose click and whose conversion is known.
        weights: (E, B), weight of each list for each member, 1 on average; None means 1.

    Returns:
        Scalar: the sum over members of each member's mean loss.
    """
    p_click, p_conversion = predicted
    loss = _mean_bce(p_click, clicks, observed[0], weights)
    return loss + _mean_bce(p_click * p_conversion, conversions, observed[1], weights)


def _mean_bce(p: Tensor, target: Tensor, observed: Tensor, weights: Tensor | None) -> Tensor:
    p = p.clamp(_EPSILON, 1.0 - _EPSILON)
    each = functional.binary_cross_entropy(p, target.expand_as(p), reduction="none")
    if weights is not None:
        each = each * weights.unsqueeze(-1)
    weight = observed.to(p.dtype)
    return (each * weight).sum() / weight.sum().clamp(min=1.0)


def listmle_loss(logits: Tensor, valid: Tensor) -> Tensor:
    """Negative log likelihood of the upstream order under Plackett-Luce (ListMLE).

    Candidates are in upstream order: the first is drawn from all, the second from the rest, and
    so on, with probabilities softmax(logits).

    Args:
        logits: (E, B, N) float.
        valid: (B, N) bool, the real candidates come first.

    Returns:
        Scalar: the sum over members of the mean over candidates.
    """
    known = logits.masked_fill(~valid, torch.finfo(logits.dtype).min)
    rest = torch.logcumsumexp(known.flip(-1), dim=-1).flip(-1)
    return _mean_over((rest - logits), valid)


def sampled_softmax_loss(
    positives: Tensor, negatives: Tensor, valid: tuple[Tensor, Tensor]
) -> Tensor:
    """Sampled-softmax loss on exposure: contrasts candidates of different requests.

    Softmax of one candidate against all candidates of another request of the batch. An item is a
    negative as often as upstream offers it to any user. The loss therefore learns how much more
    often this user is offered the item than others are, not how popular it is.

    Args:
        positives: (E, B, N) logits of a user and the candidates of the request.
        negatives: (E, B, N) logits of the same user and another request's candidates.
        valid: (B, N) bool each, True for real positives and negatives.

    Returns:
        Scalar: the sum over members of the mean over candidates.
    """
    away = negatives.masked_fill(~valid[1], torch.finfo(negatives.dtype).min)
    both = torch.logaddexp(positives, away.logsumexp(dim=-1, keepdim=True))
    return _mean_over(both - positives, valid[0])


def _mean_over(each: Tensor, valid: Tensor) -> Tensor:
    return each.masked_fill(~valid, 0.0).sum() / valid.sum().clamp(min=1)


def straight_through_choice(logits: Tensor, hard: Tensor, tau: float) -> Tensor:
    """Return the hard choice with the gradient of softmax(logits / tau).

    Args:
        logits: (..., N), noise added, forbidden candidates at the dtype's minimum.
        hard: (..., N) float one-hot.
        tau: temperature of the backward pass; the forward value does not depend on it.
    """
    soft = torch.softmax(logits / tau, dim=-1)
    return hard + (soft - soft.detach())


def straight_through_reward_loss(gain: Tensor, slot_valid: Tensor) -> Tensor:
    """L1 = - sum_j r_j: the published CRU loss; its gradient flows through the evaluator.

    Args:
        gain: (B, M) r_j = r(neighbor_j) - r(L), with gradient.
        slot_valid: (B, M) bool.

    Returns:
        (B,) loss of each list.
    """
    return -(gain * slot_valid).sum(dim=-1)


def expected_reward_loss(log_g: Tensor, gain: Tensor, slot_valid: Tensor) -> Tensor:
    """`cru_loss = "expected"`: - sum_jk softmax(g)_jk r_jk over every neighbor, r detached.

    Departs from the paper: the exact expectation in place of one straight-through sample.

    Args:
        log_g: (B, M, N) log-softmax of the CRU's logits, without noise.
        gain: (B, M, N) r_jk, no gradient.
        slot_valid: (B, M) bool.
    """
    each = (log_g.exp() * gain.detach()).sum(dim=-1)
    return -(each * slot_valid).sum(dim=-1)


def sampled_reward_loss(log_q: Tensor, gain: Tensor, slot_valid: Tensor) -> Tensor:
    """`cru_loss = "sampled"`: - sum_j log q_j[k_j] r_j, r detached (score-function estimate).

    Args:
        log_q: (B, M) log probability of the item chosen for slot j.
        gain: (B, M) r_j, no gradient.
        slot_valid: (B, M) bool.
    """
    return -(log_q * gain.detach() * slot_valid).sum(dim=-1)


def position_loss(log_p: Tensor, gain: Tensor, slot_valid: Tensor) -> Tensor:
    """L2 = - sum_j t_j log p_j: trains the PDU to pick slots whose edit raises the reward.

        paper   here
        p_j     log_p.exp()  probability of editing slot j, without noise
        r_j     gain         shaped reward of neighbor j minus that of the list

    Departs from the paper: Norm(r) is undefined once a gain is negative, so t_j is the positive
    part of r_j over the sum of positive parts, and a list without any gain costs nothing.

    Args:
        log_p: (B, M) float.
        gain: (B, M) float, detached here.
        slot_valid: (B, M) bool.

    Returns:
        (B,) loss of each list.
    """
    up = torch.relu(gain.detach()) * slot_valid
    total = up.sum(dim=-1, keepdim=True)
    target = torch.where(total > 0, up / total.clamp(min=_EPSILON), torch.zeros_like(up))
    return -(target * log_p.masked_fill(~slot_valid, 0.0)).sum(dim=-1)


def entropy(log_p: Tensor) -> Tensor:
    """Entropy in nats over the last axis; forbidden entries have probability 0."""
    p = log_p.exp()
    return -(p * log_p.masked_fill(p == 0, 0.0)).sum(dim=-1)
