"""Rewards of lists and of single slots by an evaluator with frozen weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.contract.scoring.objective import RewardWeights
from model.nets.blocks.layers import gather_lists
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.request_tensors import RequestTensors
from model.search.rewards import list_reward
from model.search.scorer import EvaluatorScorer


@dataclass(frozen=True, slots=True)
class FrozenEvaluator:
    """An evaluator under an objective. Not a module, so its weights are not trained.

    Raises:
        ValueError: the objective uses item values, which baselines do not have.
    """

    evaluator: Evaluator
    objective: RewardWeights

    def __post_init__(self) -> None:
        if self.objective.value:
            raise ValueError("baselines have no item values: the objective's `value` must be 0")

    def build_scorer(self, request: RequestTensors) -> EvaluatorScorer:
        """A scorer of lists of these requests."""
        return EvaluatorScorer(self.evaluator, request, self.objective)

    @torch.no_grad()
    def mean_rewards(self, request: RequestTensors, lists: Tensor) -> Tensor:
        """(B, K, M) lists -> (B, K) rewards, mean over members."""
        return self.build_scorer(request)(lists)

    @torch.no_grad()
    def marginal_rewards(self, request: RequestTensors, lists: Tensor) -> Tensor:
        """(B, M) lists -> (B, M) loss of reward if the slot is left empty.

        The marginal reward is the reward of the slot plus its effect on the other slots. It is 0
        in invalid slots.
        """
        b, m = lists.shape
        encoded = self.evaluator.encode(request)
        shown = gather_lists(encoded.candidates, lists.unsqueeze(1))  # (E, B, 1, M, Z)
        full = self._mean_reward(encoded, shown, request.slot_valid)  # (B,)
        without = request.slot_valid.unsqueeze(1) & ~torch.eye(m, dtype=torch.bool).to(lists.device)
        repeated = encoded._replace(context=encoded.context.repeat_interleave(m, dim=1))
        copies = shown.repeat_interleave(m, dim=1)  # (E, B * M, 1, M, Z)
        rest = self._mean_reward(repeated, copies, without.flatten(0, 1)).view(b, m)
        return (full.unsqueeze(1) - rest) * request.slot_valid

    def _mean_reward(self, encoded: EncodedRequest, shown: Tensor, slot_valid: Tensor) -> Tensor:
        """(rows,) reward of one list in each row, mean over members."""
        p_click, p_conversion = self.evaluator.score(encoded, shown, slot_valid)
        return list_reward(p_click, p_conversion, None, self.objective).mean(dim=0).squeeze(1)
