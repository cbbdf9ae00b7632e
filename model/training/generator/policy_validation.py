"""Validation metrics of a generator on later requests, under the evaluator that trained it.

A policy that collapses to the input list shows here: `unchanged` goes to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from model.config.pipeline_config import PipelineConfig
from model.metrics import value_ratio
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.replacement_sampling import SamplingNoise, sample_replacements
from model.nets.request_tensors import input_list
from model.search.proposals import (
    EditingOptions,
    append_refined_list,
    propose_and_score_lists,
    served_list_gain,
)
from model.search.scorer import (
    MAX_ENUMERATED_LISTS,
    EvaluatorScorer,
    count_lists,
    enumerate_lists,
    hill_climb_with_restarts,
)
from model.training.losses import entropy

# requests whose best list is searched, in small and in large list spaces
ENUMERATED_REQUESTS, HILL_CLIMBED_REQUESTS = 32, 16
# a bounded climb: training only needs the same reference in every epoch
HILL_CLIMB_RESTARTS, HILL_CLIMB_MAX_ROUNDS = 1, 20


def best_list_reward(scorer: EvaluatorScorer, rng: torch.Generator) -> Tensor:
    """(B,) reward of the best list: exact in small spaces, else the best of a short hill climb.

    Only the first ENUMERATED_REQUESTS or HILL_CLIMBED_REQUESTS are searched; the others are NaN.
    """
    b, m = scorer.request.slot_valid.shape
    n = scorer.request.cand_valid.shape[1]
    best = torch.full((b,), torch.nan, device=scorer.request.user.device)
    few = scorer.select_requests(slice(0, ENUMERATED_REQUESTS))
    whole = bool(few.request.cand_valid.all()) and bool(few.request.slot_valid.all())
    if whole and count_lists(n, m) <= MAX_ENUMERATED_LISTS:
        every = enumerate_lists(n, m).to(best.device).expand(len(few.request.user), -1, -1)
        best[:ENUMERATED_REQUESTS] = few(every).max(dim=1).values
        return best
    few = scorer.select_requests(slice(0, HILL_CLIMBED_REQUESTS))
    start = input_list(few.request)
    best[:HILL_CLIMBED_REQUESTS] = hill_climb_with_restarts(
        few, start, restarts=HILL_CLIMB_RESTARTS, max_rounds=HILL_CLIMB_MAX_ROUNDS, rng=rng
    )[1]
    return best


def policy_entropies(net: Generator, scorer: EvaluatorScorer) -> tuple[float, float]:
    """Mean entropy in nats of PDU and CRU at the input list, without noise."""
    request = scorer.request
    given = input_list(request)
    b, m = given.shape
    n = request.cand_valid.shape[1]
    with torch.no_grad():
        state = net.encode(request, scorer.encoded_request)
        quiet = torch.zeros(b, m, n, device=given.device)
        none = torch.zeros(b, m, dtype=torch.bool, device=given.device)
        made = sample_replacements(net, state, request, given, SamplingNoise(quiet, none))
    item = entropy(torch.log_softmax(made.item_logits, dim=-1))[request.slot_valid]
    return float(entropy(made.slot_log_probs).mean()), float(item.mean())


def served_gain_by_noise_scale(
    net: Generator,
    scorer: EvaluatorScorer,
    options: EditingOptions,
    scales: Sequence[float],
    config: PipelineConfig,
) -> dict[float, float]:
    """Mean gain of the served list for each noise scale, under this configuration's serving."""
    risk_aversion, gains = config.serving.risk_aversion, {}
    for scale in scales:
        made = propose_and_score_lists(net, scorer, replace(options, noise_scale=scale))
        made = append_refined_list(made, scorer, risk_aversion, config.refine_rounds)
        gains[scale] = float(served_list_gain(made, risk_aversion).mean())
    return gains


def value_ratio_where_known(gain: Tensor, input_reward: Tensor, best_reward: Tensor) -> float:
    """Value ratio of lists with these gains over the input list, where the best list is known."""
    known = ~best_reward.isnan()
    base = input_reward[known].cpu().numpy()
    return value_ratio(base + gain[known].cpu().numpy(), base, best_reward[known].cpu().numpy())
