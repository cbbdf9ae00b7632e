"""What a generator does on later requests, under the evaluator that taught it.

A policy that collapses to the input list shows here: `unchanged` goes to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from model.config import Config
from model.losses import entropy
from model.metrics import value_ratio
from model.nets.generator import Generator
from model.nets.inputs import input_list
from model.nets.policy import Draw, choose_for_every_slot
from model.proposals import Editing, propose_lists, refine_chosen, served_gain
from model.search import Scorer, every_list, hill_climb, space_size

EXACT_UP_TO = 50_000  # lists in a space that is enumerated
EXACT, CLIMBED = 32, 16  # requests whose best list is looked for, in small and large spaces
RESTARTS, ROUNDS = 1, 20  # a bounded climb: training only needs a yardstick that stays the same


def best_reward(scorer: Scorer, rng: torch.Generator) -> Tensor:
    """(B,) reward of the best list: exact in small spaces, the best of a short climb in large ones.

    Only the first EXACT or CLIMBED requests are looked at; the others are NaN.
    """
    b, m = scorer.request.slot_valid.shape
    n = scorer.request.cand_valid.shape[1]
    best = torch.full((b,), torch.nan, device=scorer.request.user.device)
    few = scorer.rows(slice(0, EXACT))
    whole = bool(few.request.cand_valid.all()) and bool(few.request.slot_valid.all())
    if whole and space_size(n, m) <= EXACT_UP_TO:
        every = every_list(n, m).to(best.device).expand(len(few.request.user), -1, -1)
        best[:EXACT] = few(every).max(dim=1).values
        return best
    few = scorer.rows(slice(0, CLIMBED))
    start = input_list(few.request)
    best[:CLIMBED] = hill_climb(few, start, restarts=RESTARTS, rounds=ROUNDS, rng=rng)[1]
    return best


def entropies(net: Generator, scorer: Scorer) -> tuple[float, float]:
    """Mean entropy in nats of PDU and CRU at the input list, without noise."""
    request = scorer.request
    given = input_list(request)
    b, m = given.shape
    n = request.cand_valid.shape[1]
    with torch.no_grad():
        state = net.encode(request, scorer.encoded)
        quiet = torch.zeros(b, m, n, device=given.device)
        none = torch.zeros(b, m, dtype=torch.bool, device=given.device)
        made = choose_for_every_slot(net, state, request, given, Draw(quiet, none))
    item = entropy(torch.log_softmax(made.g, dim=-1))[request.slot_valid]
    return float(entropy(made.log_p).mean()), float(item.mean())


def gain_by_noise_scale(
    net: Generator, scorer: Scorer, how: Editing, scales: Sequence[float], config: Config
) -> dict[float, float]:
    """Mean gain of the served list for each noise scale, as this configuration serves."""
    pessimism, gains = config.serving.pessimism, {}
    for scale in scales:
        made = propose_lists(net, scorer, replace(how, scale=scale))
        made = refine_chosen(made, scorer, pessimism, config.refine_rounds)
        gains[scale] = float(served_gain(made, pessimism).mean())
    return gains


def ratio(gain: Tensor, given: Tensor, best: Tensor) -> float:
    """Value ratio of lists with this gain over the input list, where the best is known."""
    known = ~best.isnan()
    base = given[known].cpu().numpy()
    return value_ratio(base + gain[known].cpu().numpy(), base, best[known].cpu().numpy())
