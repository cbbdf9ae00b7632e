"""Searches in the space of lists that need no generator, and scoring lists by the evaluator."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from model.contract.choice import Objective
from model.contract.refine import WORTH, ascend, worth
from model.data.batches import Batch, Gatherer
from model.neighbors import all_edits
from model.nets.ascent import Stand, step
from model.nets.evaluator import Encoded, Evaluator
from model.nets.inputs import RequestTensors, only_shown
from model.nets.layers import take_lists
from model.nets.neighbor_values import Worth, neighborhood, standing
from model.nets.pair_evaluator import PairEvaluator
from model.rewards import list_reward

_SLOTS_AT_ONCE = 20_000  # slots scored in one piece: what fits in caches is three times faster
_LOGITS_AT_ONCE = 2_000_000  # of neighbors known at once, in one piece


@lru_cache(maxsize=4)  # the report asks for the same space with every batch
def every_list(candidates: int, slots: int) -> Tensor:
    """All ordered lists without repetition: (candidates! / (candidates - slots)!, slots) int64."""
    return torch.from_numpy(np.array(list(permutations(range(candidates), slots)), dtype=np.int64))


def space_size(candidates: int, slots: int) -> int:
    """How many lists there are."""
    size = 1
    for taken in range(slots):
        size *= candidates - taken
    return size


@torch.no_grad()
def predict_lists(
    evaluator: Evaluator, encoded: Encoded, lists: Tensor, slot_valid: Tensor
) -> tuple[Tensor, Tensor]:
    """p_click and p_conversion of (B, L, M) lists, (E, B, L, M), in pieces of bounded size."""
    b, _, m = lists.shape
    piece = max(1, _SLOTS_AT_ONCE // (b * m * evaluator.members))
    parts = [
        evaluator.score(encoded, take_lists(encoded.candidates, some), slot_valid)
        for some in (lists[:, at : at + piece] for at in range(0, lists.shape[1], piece))
    ]
    return torch.cat([p for p, _ in parts], dim=2), torch.cat([p for _, p in parts], dim=2)


def predict_shown(
    net: torch.nn.Module, gatherer: Gatherer, rows: Tensor, batch_size: int = 1024
) -> tuple[Tensor, list[Batch]]:
    """Mean p_click over members of the lists that were shown, (R, M), and the batches."""
    parts, batches = [], []
    for at in range(0, len(rows), batch_size):
        batch = gatherer.gather(rows[at : at + batch_size])
        with torch.no_grad():
            p_click, _ = net(*only_shown(batch.request, batch.shown))
        parts.append(p_click.mean(dim=0).squeeze(1))
        batches.append(batch)
    return torch.cat(parts), batches


class Scorer:
    """The evaluator on one batch of requests as a function of lists: the mean reward of members."""

    def __init__(
        self,
        evaluator: Evaluator,
        request: RequestTensors,
        objective: Objective,
        values: Tensor | None = None,
    ) -> None:
        self.evaluator, self.objective = evaluator, objective
        self.request: RequestTensors = request
        self.values = values  # (B, N) value of each candidate
        with torch.no_grad():
            self.encoded = evaluator.encode(request)

    def rows(self, which: slice) -> Scorer:
        """The same evaluator on some requests of the batch."""
        request = RequestTensors(*(part[which] for part in self.request))
        values = None if self.values is None else self.values[which]
        return Scorer(self.evaluator, request, self.objective, values)

    def members(self, lists: Tensor) -> Tensor:
        """(B, L, M) lists -> (E, B, L) rewards by member."""
        valid = self.request.slot_valid
        p_click, p_conversion = predict_lists(self.evaluator, self.encoded, lists, valid)
        return list_reward(p_click, p_conversion, self.values_of(lists), self.objective)

    def __call__(self, lists: Tensor) -> Tensor:
        """(B, L, M) lists -> (B, L) mean rewards."""
        return self.members(lists).mean(dim=0)

    @torch.no_grad()
    def around(self, lists: Tensor) -> Tensor | None:
        """(B, M, N): mean reward with candidate k in slot j, for all neighbors of lists (B, M).

        The list's own where k stands in j already, and in slots that are not there. None where the
        evaluator does not know all at once, so that each is a list to be scored.
        """
        net = self.evaluator
        if not isinstance(net, PairEvaluator):
            return None
        counts = self.worth(relative=False)
        (b, n), m = self.request.cand_valid.shape, lists.shape[1]
        here = standing(lists, self.request.slot_valid, n)
        piece = max(1, _LOGITS_AT_ONCE // (net.members * 2 * m * m * n))
        made = []
        for at in range(0, b, piece):
            some = slice(at, at + piece)
            known = self.encoded.candidates[:, some]
            told = neighborhood(net, known, here[some], Worth(*(part[some] for part in counts)))
            now = told.now.unsqueeze(-1)
            itself = (here[some] > 0) | ~self.request.slot_valid[some].unsqueeze(-1)
            made.append(torch.where(itself, now, told.edited))
        return torch.cat(made)

    def worth(self, *, relative: bool) -> Worth:
        """What slots and candidates count, as `contract/refine.worth` says it."""
        values = None if self.values is None else self.values.cpu().numpy()
        valid = self.request.slot_valid
        n = self.request.cand_valid.shape[1]
        counts = worth(self.objective, valid.cpu().numpy(), values, n, relative=relative)
        return Worth(*(torch.from_numpy(counts[name]).to(valid.device) for name in WORTH))

    def values_of(self, lists: Tensor) -> Tensor | None:
        """(B, L, M) values of what lists show, None without values."""
        if self.values is None:
            return None
        return take_lists(self.values.unsqueeze(-1), lists).squeeze(-1)


@torch.no_grad()
def refine(scorer: Scorer, start: Tensor, rounds: int) -> Tensor:
    """(B, M): lists (B, M) after at most so many steps to the best neighbor, as in serving."""
    net, request = scorer.evaluator, scorer.request
    if not isinstance(net, PairEvaluator):
        raise TypeError(f"the neighbors of {type(net).__name__} are not known at once")
    told = scorer.worth(relative=True)

    def on(at: Tensor) -> Tensor:
        here = Stand(at, request.slot_valid, request.slot_valid, request.cand_valid)
        return step(net, scorer.encoded.candidates, here, told)

    return ascend(on, start, rounds)


class ListScorer(Protocol):
    """What a climb asks: the worth of any lists of a batch of requests."""

    @property
    def request(self) -> RequestTensors:
        """The batch."""
        ...

    def __call__(self, lists: Tensor) -> Tensor:
        """(B, L, M) lists -> (B, L) worth."""
        ...


@torch.no_grad()
def hill_climb(
    scorer: ListScorer, start: Tensor, *, restarts: int, rounds: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Best-neighbor ascent from the start list and from random lists.

    Args:
        scorer: of the batch.
        start: (B, M) lists.
        restarts: climbs in all; the first starts at `start`.
        rounds: at most this many steps a climb.
        rng: draws the random starts.

    Returns:
        lists (B, M) and rewards (B,): the best that any climb found.
    """
    best, best_reward = start, scorer(start.unsqueeze(1)).squeeze(1)
    for climb in range(restarts):
        at = start if climb == 0 else random_lists(scorer.request, start.shape[1], rng)
        reward = scorer(at.unsqueeze(1)).squeeze(1)
        for _ in range(rounds):
            stepped, gained = _step(scorer, at)
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
    """(B, M) uniform lists of real candidates, none twice; slots that are not there hold 0."""
    draw = torch.rand(request.cand_valid.shape, generator=rng).to(request.cand_valid.device)
    order = draw.masked_fill(~request.cand_valid, -1.0).argsort(dim=1, descending=True)[:, :slots]
    return order.masked_fill(~request.slot_valid, 0)


def _step(scorer: ListScorer, lists: Tensor) -> tuple[Tensor, Tensor]:
    """Best neighbor of each list and its reward."""
    valid = scorer.request.slot_valid
    n = scorer.request.cand_valid.shape[1]
    neighbors = all_edits(lists, n, valid)  # (B, M, N, M)
    reward = scorer(neighbors.flatten(1, 2))
    allowed = valid.unsqueeze(2) & scorer.request.cand_valid.unsqueeze(1)
    reward = reward.masked_fill(~allowed.flatten(1, 2), float("-inf"))
    top, at = reward.max(dim=1)
    rows = torch.arange(len(lists), device=lists.device)
    return neighbors.flatten(1, 2)[rows, at], top
