"""Scores lists with the evaluator, and searches lists without a generator."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from model.contract.scoring.local_search import (
    REWARD_WEIGHT_INPUTS,
    iterate_local_search,
    reward_weight_inputs,
)
from model.contract.scoring.objective import RewardWeights
from model.data.tables.batches import Batch, BatchLoader
from model.nets.blocks.layers import gather_lists
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.local_search.best_neighbor_step import HillClimbState, hill_climb_step
from model.nets.local_search.neighbor_rewards import (
    RewardWeightTensors,
    one_hot_list,
    score_neighborhood,
)
from model.nets.request_tensors import RequestTensors, restrict_to_shown
from model.search.neighbors import all_neighbors
from model.search.rewards import list_reward

_SLOT_CHUNK_SIZE = 20_000  # slots scored at once; fits in CPU caches, three times faster
MAX_ENUMERATED_LISTS = 50_000  # list spaces up to this size are enumerated
_LOGIT_CHUNK_SIZE = 2_000_000  # slots of neighbors scored at once, in one chunk


@lru_cache(maxsize=4)  # the report needs the same space for every batch
def enumerate_lists(candidates: int, slots: int) -> Tensor:
    """All ordered lists without repetition: (candidates! / (candidates - slots)!, slots) int64."""
    return torch.from_numpy(np.array(list(permutations(range(candidates), slots)), dtype=np.int64))


def count_lists(candidates: int, slots: int) -> int:
    """Number of ordered lists without repetition."""
    size = 1
    for taken in range(slots):
        size *= candidates - taken
    return size


@torch.no_grad()
def predict_lists(
    evaluator: Evaluator, encoded: EncodedRequest, lists: Tensor, slot_valid: Tensor
) -> tuple[Tensor, Tensor]:
    """p_click and p_conversion of (B, L, M) lists, (E, B, L, M), in chunks of bounded size."""
    b, _, m = lists.shape
    piece = max(1, _SLOT_CHUNK_SIZE // (b * m * evaluator.members))
    parts = [
        evaluator.score(encoded, gather_lists(encoded.candidates, some), slot_valid)
        for some in (lists[:, at : at + piece] for at in range(0, lists.shape[1], piece))
    ]
    return torch.cat([p for p, _ in parts], dim=2), torch.cat([p for _, p in parts], dim=2)


def predict_shown_lists(
    net: torch.nn.Module, gatherer: BatchLoader, rows: Tensor, batch_size: int = 1024
) -> tuple[Tensor, list[Batch]]:
    """Mean p_click over members of the lists that were shown, (R, M), and the batches."""
    p_click, batches = predict_shown_lists_by_member(net, gatherer, rows, batch_size)
    return p_click.mean(dim=0), batches


def predict_shown_lists_by_member(
    net: torch.nn.Module, gatherer: BatchLoader, rows: Tensor, batch_size: int = 1024
) -> tuple[Tensor, list[Batch]]:
    """p_click of each member for the lists that were shown, (E, R, M), and the batches."""
    parts, batches = [], []
    for at in range(0, len(rows), batch_size):
        batch = gatherer.gather(rows[at : at + batch_size])
        with torch.no_grad():
            p_click, _ = net(*restrict_to_shown(batch.request, batch.shown))
        parts.append(p_click.squeeze(2))
        batches.append(batch)
    return torch.cat(parts, dim=1), batches


class EvaluatorScorer:
    """Mean reward over members as a function of lists, bound to one batch of requests."""

    def __init__(
        self,
        evaluator: Evaluator,
        request: RequestTensors,
        objective: RewardWeights,
        values: Tensor | None = None,
    ) -> None:
        self.evaluator, self.objective = evaluator, objective
        self.request: RequestTensors = request
        self.item_values = values  # (B, N) value of each candidate
        with torch.no_grad():
            self.encoded_request = evaluator.encode(request)

    def select_requests(self, selection: slice) -> EvaluatorScorer:
        """The same evaluator bound to some requests of the batch."""
        request = RequestTensors(*(part[selection] for part in self.request))
        values = None if self.item_values is None else self.item_values[selection]
        return EvaluatorScorer(self.evaluator, request, self.objective, values)

    def member_rewards(self, lists: Tensor) -> Tensor:
        """(B, L, M) lists -> (E, B, L) rewards by member."""
        valid = self.request.slot_valid
        p_click, p_conversion = predict_lists(self.evaluator, self.encoded_request, lists, valid)
        return list_reward(p_click, p_conversion, self.list_values(lists), self.objective)

    def __call__(self, lists: Tensor) -> Tensor:
        """(B, L, M) lists -> (B, L) mean rewards."""
        return self.member_rewards(lists).mean(dim=0)

    @torch.no_grad()
    def neighbor_rewards(self, lists: Tensor) -> Tensor | None:
        """(B, M, N): mean reward with candidate k in slot j, for all neighbors of lists (B, M).

        The list's own reward where k is in j already, and in slots that do not exist. None where
        the evaluator cannot score all neighbors at once, so that each is scored as a list.
        """
        net = self.evaluator
        if not isinstance(net, PairEvaluator):
            return None
        counts = self.reward_weight_tensors(relative=False)
        (b, n), m = self.request.cand_valid.shape, lists.shape[1]
        here = one_hot_list(lists, self.request.slot_valid, n)
        piece = max(1, _LOGIT_CHUNK_SIZE // (net.members * 2 * m * m * n))
        made = []
        for at in range(0, b, piece):
            some = slice(at, at + piece)
            known = self.encoded_request.candidates[:, some]
            told = score_neighborhood(
                net, known, here[some], RewardWeightTensors(*(part[some] for part in counts))
            )
            now = told.current.unsqueeze(-1)
            itself = (here[some] > 0) | ~self.request.slot_valid[some].unsqueeze(-1)
            made.append(torch.where(itself, now, told.after_edit))
        return torch.cat(made)

    def reward_weight_tensors(self, *, relative: bool) -> RewardWeightTensors:
        """Weights of slots, clicks and conversions, as `reward_weight_inputs` computes them."""
        values = None if self.item_values is None else self.item_values.cpu().numpy()
        valid = self.request.slot_valid
        n = self.request.cand_valid.shape[1]
        counts = reward_weight_inputs(
            self.objective, valid.cpu().numpy(), values, n, normalize=relative
        )
        return RewardWeightTensors(
            *(torch.from_numpy(counts[name]).to(valid.device) for name in REWARD_WEIGHT_INPUTS)
        )

    def list_values(self, lists: Tensor) -> Tensor | None:
        """(B, L, M) values of the items in lists; None without values."""
        if self.item_values is None:
            return None
        return gather_lists(self.item_values.unsqueeze(-1), lists).squeeze(-1)


@torch.no_grad()
def refine_lists(scorer: EvaluatorScorer, lists: Tensor, max_rounds: int) -> Tensor:
    """(B, M) lists after at most `max_rounds` steps to the best neighbor, as in serving."""
    net, request = scorer.evaluator, scorer.request
    if not isinstance(net, PairEvaluator):
        raise TypeError(f"the neighbors of {type(net).__name__} are not known at once")
    told = scorer.reward_weight_tensors(relative=True)

    def on(at: Tensor) -> Tensor:
        here = HillClimbState(at, request.slot_valid, request.slot_valid, request.cand_valid)
        return hill_climb_step(net, scorer.encoded_request.candidates, here, told)

    return iterate_local_search(on, lists, max_rounds)


class ListRewardFunction(Protocol):
    """Reward of any lists of a batch of requests, as a hill climb needs it."""

    @property
    def request(self) -> RequestTensors:
        """The batch of requests."""
        ...

    def __call__(self, lists: Tensor) -> Tensor:
        """(B, L, M) lists -> (B, L) rewards."""
        ...


@torch.no_grad()
def hill_climb_with_restarts(
    scorer: ListRewardFunction,
    start: Tensor,
    *,
    restarts: int,
    max_rounds: int,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Best-neighbor ascent from the start list and from random lists.

    Args:
        scorer: of the batch.
        start: (B, M) lists.
        restarts: number of climbs; the first starts at `start`.
        max_rounds: steps per climb at most.
        rng: draws the random starts.

    Returns:
        lists (B, M) and rewards (B,): the best of all climbs.
    """
    best, best_reward = start, scorer(start.unsqueeze(1)).squeeze(1)
    for climb in range(restarts):
        at = start if climb == 0 else random_lists(scorer.request, start.shape[1], rng)
        reward = scorer(at.unsqueeze(1)).squeeze(1)
        for _ in range(max_rounds):
            stepped, gained = _best_neighbor(scorer, at)
            better = gained > reward
            if not better.any():
                break
            at = torch.where(better.unsqueeze(-1), stepped, at)
            reward = torch.where(better, gained, reward)
        won = reward > best_reward
        best = torch.where(won.unsqueeze(-1), at, best)
        best_reward = torch.where(won, reward, best_reward)
    return best, best_reward


def random_lists(request: RequestTensors, slots: int, rng: torch.Generator) -> Tensor:
    """(B, M) uniform random lists of valid candidates without repetition; 0 in missing slots."""
    draw = torch.rand(request.cand_valid.shape, generator=rng).to(request.cand_valid.device)
    order = draw.masked_fill(~request.cand_valid, -1.0).argsort(dim=1, descending=True)[:, :slots]
    return order.masked_fill(~request.slot_valid, 0)


def _best_neighbor(scorer: ListRewardFunction, lists: Tensor) -> tuple[Tensor, Tensor]:
    """Best neighbor of each list and its reward."""
    valid = scorer.request.slot_valid
    n = scorer.request.cand_valid.shape[1]
    neighbors = all_neighbors(lists, n, valid)  # (B, M, N, M)
    reward = scorer(neighbors.flatten(1, 2))
    allowed = valid.unsqueeze(2) & scorer.request.cand_valid.unsqueeze(1)
    reward = reward.masked_fill(~allowed.flatten(1, 2), float("-inf"))
    top, at = reward.max(dim=1)
    rows = torch.arange(len(lists), device=lists.device)
    return neighbors.flatten(1, 2)[rows, at], top
