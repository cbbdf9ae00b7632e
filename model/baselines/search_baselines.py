"""Search baselines: score many lists with the evaluator and return the best, best first.

No papers. Their rewards bound those of a generator, at a higher latency.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from model.baselines.frozen_evaluator import FrozenEvaluator
from model.nets.request_tensors import RequestTensors, input_list
from model.search.rewards import list_reward
from model.search.scorer import (
    MAX_ENUMERATED_LISTS,
    EvaluatorScorer,
    count_lists,
    enumerate_lists,
    hill_climb_with_restarts,
    predict_lists,
    random_lists,
)


class ListSpaceTooLarge(ValueError):
    """The list space has more lists than `max_lists`."""

    def __init__(self, *, candidates: int, slots: int, max_lists: int) -> None:
        size = count_lists(candidates, slots)
        super().__init__(f"{slots} of {candidates} candidates: {size} lists, {max_lists} at most")
        self.num_lists, self.max_lists = size, max_lists


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """K uniformly random lists, best first."""

    evaluator: FrozenEvaluator

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`; every list is random."""
        slots = request.slot_valid.shape[1]
        drawn = [random_lists(request, slots, rng) for _ in range(num_lists)]
        return _sorted_by_reward(self.evaluator.build_scorer(request), torch.stack(drawn, dim=1))


@dataclass(frozen=True, slots=True)
class HillClimbSearch:
    """K climbs by the best neighbor: from the input list, then from K - 1 random lists."""

    evaluator: FrozenEvaluator
    max_rounds: int = 50

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`; deterministic for K = 1."""
        scorer, slots = self.evaluator.build_scorer(request), request.slot_valid.shape[1]
        ends = []
        for climb in range(num_lists):
            start = random_lists(request, slots, rng) if climb else input_list(request)
            end, _ = hill_climb_with_restarts(
                scorer, start, restarts=1, max_rounds=self.max_rounds, rng=rng
            )
            ends.append(end)
        return _sorted_by_reward(scorer, torch.stack(ends, dim=1))


@dataclass(frozen=True, slots=True)
class BeamSearch:
    """Fills slots from first to last and keeps the `beam_width` best prefixes.

    A prefix is scored as a complete list; the evaluator was also trained on prefixes. The width is
    K if K is larger than `beam_width`.
    """

    evaluator: FrozenEvaluator
    beam_width: int = 8

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`; deterministic."""
        width, (b, m) = max(self.beam_width, num_lists), request.slot_valid.shape
        scorer = self.evaluator.build_scorer(request)
        lists = torch.zeros((b, width, m), dtype=torch.int64, device=request.user.device)
        reward = torch.full((b, width), -torch.inf, device=lists.device)
        reward[:, 0] = 0.0  # one empty prefix
        for slot in range(m):
            grown, gained = self._extend_beam(scorer, lists, reward.isfinite(), slot)
            going = request.slot_valid[:, slot, None]
            lists = torch.where(going.unsqueeze(-1), grown, lists)
            reward = torch.where(going, gained, reward)
        unfound = (~reward.isfinite()).sum(
            dim=1, keepdim=True
        )  # in spaces with fewer lists than the beam
        place = (torch.arange(width, device=lists.device) - unfound).clamp(min=0)
        return lists.gather(1, place.unsqueeze(-1).expand_as(lists))[:, :num_lists]

    def _extend_beam(
        self, scorer: EvaluatorScorer, lists: Tensor, alive: Tensor, slot: int
    ) -> tuple[Tensor, Tensor]:
        """The best prefixes (B, W, M) with one more slot, and their rewards (B, W)."""
        request = scorer.request
        (b, width, m), n = lists.shape, request.cand_valid.shape[1]
        longer = lists.unsqueeze(2).repeat(1, 1, n, 1)  # (B, W, N, M)
        longer[..., slot] = torch.arange(n, device=lists.device)
        used = functional.one_hot(lists[..., :slot], n).sum(dim=2) > 0  # (B, W, N)
        able = alive.unsqueeze(-1) & ~used & request.cand_valid.unsqueeze(1)
        begun = request.slot_valid & (torch.arange(m, device=lists.device) <= slot)
        evaluator, objective = scorer.evaluator, scorer.objective
        p_click, p_conversion = predict_lists(
            evaluator, scorer.encoded_request, longer.flatten(1, 2), begun
        )
        reward = list_reward(p_click, p_conversion, None, objective).mean(dim=0)
        reward = reward.masked_fill(~able.flatten(1), -torch.inf)
        reward = functional.pad(reward, (0, max(0, width - reward.shape[1])), value=-torch.inf)
        top, at = reward.topk(width, dim=1)
        at = at.clamp(max=width * n - 1)
        rows = torch.arange(b, device=lists.device).unsqueeze(1)
        return longer.flatten(1, 2)[rows, at], top


@dataclass(frozen=True, slots=True)
class ExactSearch:
    """The K best of all lists of each request.

    Raises:
        ListSpaceTooLarge: a request has more than `max_lists` lists.
    """

    evaluator: FrozenEvaluator
    max_lists: int = MAX_ENUMERATED_LISTS

    @torch.no_grad()
    def propose(self, request: RequestTensors, num_lists: int, rng: torch.Generator) -> Tensor:
        """See `Ranker.propose`; deterministic. A space with fewer than K lists repeats its best."""
        b, m = request.slot_valid.shape
        sizes = torch.stack([request.cand_valid.sum(dim=1), request.slot_valid.sum(dim=1)], dim=1)
        out = torch.zeros((b, num_lists, m), dtype=torch.int64, device=request.user.device)
        for n, slots in sizes.unique(dim=0).tolist():
            if count_lists(n, slots) > self.max_lists:
                raise ListSpaceTooLarge(candidates=n, slots=slots, max_lists=self.max_lists)
            space = functional.pad(enumerate_lists(n, slots), (0, m - slots)).to(out.device)
            for row in (sizes == sizes.new_tensor([n, slots])).all(dim=1).nonzero().flatten():
                one = RequestTensors(*(part[row : row + 1] for part in request))
                reward = self.evaluator.mean_rewards(one, space.unsqueeze(0)).squeeze(0)
                best = reward.topk(min(num_lists, len(space))).indices
                best = functional.pad(best, (num_lists - len(best), 0), value=int(best[0]))
                out[row] = space[best]
        return out


def _sorted_by_reward(scorer: EvaluatorScorer, lists: Tensor) -> Tensor:
    order = scorer(lists).argsort(dim=1, descending=True, stable=True)
    return lists.gather(1, order.unsqueeze(-1).expand_as(lists))
