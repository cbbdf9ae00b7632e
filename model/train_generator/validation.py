"""What a generator does on later requests, under the evaluator that taught it.

A policy that collapses to the input list shows here: `unchanged` goes to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.contract.choice import choose
from model.contract.noise import request_noise
from model.data.batches import Batch
from model.losses import entropy
from model.metrics import value_ratio
from model.nets.edits import EditStart, propose
from model.nets.generator import Generator
from model.nets.inputs import input_list
from model.nets.policy import choose_for_every_slot
from model.search import Scorer, every_list, hill_climb, space_size

EXACT_UP_TO = 50_000  # lists in a space that is enumerated
CLIMBED = 32  # requests whose best list is climbed to in larger spaces; the rest are NaN
RESTARTS, ROUNDS = 2, 20  # a bounded climb: training only needs a yardstick that stays the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Editing:
    """How lists are proposed: T edits, K lists, the noise scale, the paper's stopping rule."""

    edits: int
    num_lists: int = 1
    scale: float = 0.0
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Proposals:
    """Lists proposed for a batch and what the evaluator's members say of them.

    lists: (B, K + 1, M), the input list last.
    rewards: (E, B, K + 1).
    """

    lists: Tensor
    rewards: Tensor


def propose_lists(net: Generator, scorer: Scorer, how: Editing) -> Proposals:
    """K lists a request as serving would propose them; request b of the batch has seed b."""
    request = scorer.request
    given = input_list(request)
    b, m = given.shape
    n = request.cand_valid.shape[1]
    drawn = [
        request_noise(
            seed=seed,
            lists=how.num_lists,
            edits=how.edits,
            slots=m,
            candidates=n,
            scale=how.scale,
        )
        for seed in range(b)
    ]
    start = EditStart(
        given.unsqueeze(1).expand(b, how.num_lists, m),
        request.slot_valid,
        torch.from_numpy(np.stack([s for s, _ in drawn])).to(given.device),
        torch.from_numpy(np.stack([i for _, i in drawn])).to(given.device),
    )
    with torch.no_grad():
        lists = propose(net, request, start, stop_on_no_change=how.stop)
    lists = torch.cat([lists, given.unsqueeze(1)], dim=1)
    return Proposals(lists, scorer.members(lists))


def single_list(net: Generator, scorer: Scorer, how: Editing) -> tuple[Tensor, Tensor]:
    """List 0, which has no noise: its gain (B,) over the input list, and whether it is that."""
    proposals = propose_lists(net, scorer, replace(how, num_lists=1, scale=0.0))
    rewards = proposals.rewards.mean(dim=0)
    unchanged = (proposals.lists[:, 0] == proposals.lists[:, 1]).all(dim=-1)
    return rewards[:, 0] - rewards[:, 1], unchanged


def served_gain(proposals: Proposals, pessimism: float) -> Tensor:
    """Mean gain (B,) of the list that would be served; 0 where that is the input list."""
    chosen = torch.from_numpy(choose(proposals.rewards.cpu().numpy(), pessimism))
    mean = proposals.rewards.mean(dim=0).cpu()
    return mean.gather(1, chosen.unsqueeze(1)).squeeze(1) - mean[:, -1]


def best_reward(scorer: Scorer, rng: torch.Generator) -> Tensor:
    """(B,) reward of the best list: exact in small spaces, the best of a short climb in large ones.

    In large spaces only the first CLIMBED requests are looked at; the others are NaN.
    """
    request = scorer.request
    given = input_list(request)
    b, m = given.shape
    n = request.cand_valid.shape[1]
    whole = bool(request.cand_valid.all()) and bool(request.slot_valid.all())
    if whole and space_size(n, m) <= EXACT_UP_TO:
        return scorer(every_list(n, m).expand(b, -1, -1)).max(dim=1).values
    best = torch.full((b,), torch.nan)
    few = scorer.rows(slice(0, CLIMBED))
    best[:CLIMBED] = hill_climb(few, given[:CLIMBED], restarts=RESTARTS, rounds=ROUNDS, rng=rng)[1]
    return best


def entropies(net: Generator, batch: Batch) -> tuple[float, float]:
    """Mean entropy in nats of PDU and CRU at the input list, without noise."""
    given = input_list(batch.request)
    b, m = given.shape
    n = batch.request.cand_valid.shape[1]
    with torch.no_grad():
        state = net.encode(batch.request)
        none = torch.zeros((), dtype=torch.bool)
        made = choose_for_every_slot(
            net, state, batch.request, given, torch.zeros(b, m, n), none.expand(b, m)
        )
    item = entropy(torch.log_softmax(made.g, dim=-1))[batch.request.slot_valid]
    return float(entropy(made.log_p).mean()), float(item.mean())


def gain_by_noise_scale(
    net: Generator, scorer: Scorer, how: Editing, scales: Sequence[float], pessimism: float
) -> dict[float, float]:
    """Mean gain of the served list for each noise scale."""
    return {
        scale: float(
            served_gain(propose_lists(net, scorer, replace(how, scale=scale)), pessimism).mean()
        )
        for scale in scales
    }


def ratio(gain: Tensor, given: Tensor, best: Tensor) -> float:
    """Value ratio of lists with this gain over the input list, where the best is known."""
    known = ~best.isnan()
    base = given[known].cpu().numpy()
    return value_ratio(base + gain[known].cpu().numpy(), base, best[known].cpu().numpy())
