"""Scores proposed lists under evaluators and selects the lists that would be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.contract.scoring.objective import select_lists
from model.evaluation.benchmark.benchmark_scenario import Scenario, request_batches
from model.evaluation.benchmark.proposal_jobs import ListGroup, scenario_objective
from model.evaluation.benchmark.served_refinement import refine_proposals
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.request_tensors import input_list
from model.search.scorer import EvaluatorScorer

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
SELECTING = "reward"  # column prefix of the selecting evaluator


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredLists:
    """Lists of requests with their rewards.

    Attributes:
        lists: (R, C + 1, M) int, candidate indices; the input list is last.
        rewards: column prefix of an evaluator -> (E, R, C + 1) rewards by member.
    """

    lists: NDArray[Any]
    rewards: dict[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedLists:
    """Scored lists and the selected one of each kind.

    Attributes:
        scored: all lists.
        chosen: list kind -> (R,) index of the selected list.
    """

    scored: ScoredLists
    chosen: dict[str, Indices]


def score_proposals(
    scenario: Scenario, nets: Mapping[str, Evaluator], proposals: NDArray[Any]
) -> ScoredLists:
    """Score proposals (R, C, M) and the input list, which becomes the last list."""
    inputs = torch.cat([input_list(request) for _, request in request_batches(scenario)]).numpy()
    lists = np.concatenate([proposals, inputs[:, None].astype(proposals.dtype)], axis=1)
    return ScoredLists(lists=lists, rewards=_member_rewards(scenario, nets, lists))


def select_served(
    rewards: Floats, groups: list[ListGroup], risk_aversion: float
) -> dict[str, Indices]:
    """List kind -> (R,) selected index for `single`, `input` and `served{effort}`.

    Args:
        rewards: (E, R, C + 1) rewards of the selecting evaluator, the input list last.
        groups: which lists compete with the input list.
        risk_aversion: weight of the standard deviation over members.
    """
    chosen = {"single": _constant_index(rewards, 0), "input": _constant_index(rewards, -1)}
    for group in groups:
        chosen[f"served{group.effort}"] = _selected_index(rewards, group, risk_aversion)
    return chosen


def select_by_risk_aversion(
    rewards: Floats, group: ListGroup, risk_aversions: tuple[float, ...]
) -> dict[str, Indices]:
    """List kind -> (R,) selected index for `input` and `risk_aversion{x}`."""
    chosen = {"input": _constant_index(rewards, -1)}
    for weight in risk_aversions:
        chosen[f"risk_aversion{weight:g}"] = _selected_index(rewards, group, weight)
    return chosen


def add_refined_lists(
    scenario: Scenario,
    nets: Mapping[str, Evaluator],
    selected: SelectedLists,
    *,
    weights: Mapping[str, float],
    rounds: int,
) -> SelectedLists:
    """Refine the selected list of each kind and select again with the refined list included.

    Args:
        scenario: of the requests.
        nets: column prefix -> evaluator.
        selected: lists and their selection.
        weights: list kind to refine -> risk aversion of its selection.
        rounds: refinement rounds; 0 returns `selected` unchanged.
    """
    if not rounds:
        return selected
    lists, rewards = selected.scored.lists, selected.scored.rewards
    requests, first = np.arange(len(lists)), lists.shape[1] - 1
    starts = np.stack([lists[requests, selected.chosen[kind]] for kind in weights], axis=1)
    refined = refine_proposals(scenario, nets[SELECTING], starts, rounds).astype(lists.dtype)
    lists = np.concatenate([lists[:, :first], refined, lists[:, first:]], axis=1)
    refined_rewards = _member_rewards(scenario, nets, refined)
    rewards = {
        name: np.concatenate([r[..., :first], refined_rewards[name], r[..., first:]], axis=2)
        for name, r in rewards.items()
    }
    last = lists.shape[1] - 1
    chosen = {
        kind: np.where(index == first, last, index) for kind, index in selected.chosen.items()
    }
    for index, (kind, weight) in enumerate(weights.items(), first):
        options = np.stack(
            [chosen[kind], np.full_like(requests, index), np.full_like(requests, last)], axis=1
        )
        chosen[kind] = _selected_option(rewards[SELECTING], options, weight)
    return SelectedLists(scored=ScoredLists(lists=lists, rewards=rewards), chosen=chosen)


def keep_input_below(
    selected: SelectedLists, weights: Mapping[str, float], min_relative_gain: float
) -> SelectedLists:
    """Select the input list where the selected list's score is below the least gain.

    Args:
        selected: lists and their selection.
        weights: list kind -> risk aversion of its selection; other kinds stay.
        min_relative_gain: least score, relative to the input list's mean reward.
    """
    rewards = selected.scored.rewards[SELECTING]
    last = rewards.shape[2] - 1
    chosen = dict(selected.chosen)
    for kind, weight in weights.items():
        options = np.stack([chosen[kind], np.full_like(chosen[kind], last)], axis=1)
        chosen[kind] = _selected_option(rewards, options, weight, min_relative_gain)
    return SelectedLists(scored=selected.scored, chosen=chosen)


def _constant_index(rewards: Floats, index: int) -> Indices:
    """(R,) the same list index for every request; -1 is the last list."""
    _, requests, lists = rewards.shape
    return np.full(requests, index % lists, dtype=np.int64)


def _selected_option(
    rewards: Floats, options: Indices, risk_aversion: float, min_relative_gain: float = 0.0
) -> Indices:
    """(R,) index of the list selected among options (R, O), the input list last."""
    option_rewards = np.take_along_axis(rewards, options[None], axis=2)
    index = select_lists(option_rewards, risk_aversion, min_relative_gain)
    return options[np.arange(len(options)), index]


def _selected_index(rewards: Floats, group: ListGroup, risk_aversion: float) -> Indices:
    """(R,) index of the selected list among the group and the last list."""
    last = rewards.shape[2] - 1
    options = np.concatenate([rewards[:, :, group.first : group.end], rewards[:, :, last:]], axis=2)
    index = select_lists(options, risk_aversion) + group.first
    return np.where(index == group.end, last, index)


def _member_rewards(
    scenario: Scenario, nets: Mapping[str, Evaluator], lists: NDArray[Any]
) -> dict[str, Floats]:
    """Column prefix -> (E, R, L) rewards of lists (R, L, M)."""
    parts: dict[str, list[Tensor]] = {name: [] for name in nets}
    objective = scenario_objective(scenario)
    for part, request in request_batches(scenario):
        batch_lists = torch.from_numpy(lists[part].astype(np.int64))
        for name, net in nets.items():
            scorer = EvaluatorScorer(net, request, objective)
            parts[name].append(scorer.member_rewards(batch_lists))
    return {
        name: torch.cat(rewards, dim=1).numpy().astype(np.float64)
        for name, rewards in parts.items()
    }
