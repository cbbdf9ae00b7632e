"""The frozen evaluator as a teacher: what each slot of a list is worth, with its other slots."""

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
    """An evaluator under an objective. No net of its own: its weights are nobody's to train."""

    evaluator: Evaluator
    objective: RewardWeights

    def __post_init__(self) -> None:
        if self.objective.value:
            raise ValueError("baselines see no item values: the objective's `value` must be 0")

    def build_scorer(self, request: RequestTensors) -> EvaluatorScorer:
        """Rewards of any lists of these requests."""
        return EvaluatorScorer(self.evaluator, request, self.objective)

    @torch.no_grad()
    def mean_rewards(self, request: RequestTensors, lists: Tensor) -> Tensor:
        """(B, K, M) lists -> (B, K) mean rewards of the members."""
        return self.build_scorer(request)(lists)

    @torch.no_grad()
    def marginal_rewards(self, request: RequestTensors, lists: Tensor) -> Tensor:
        """What a list loses when a slot is left empty: (B, M) lists -> (B, M).

        It is the slot's own worth plus what the item does for the others: sum over the other slots
        of their worth beside it, minus their worth without it.
        """
        b, m = lists.shape
        encoded = self.evaluator.encode(request)
        shown = gather_lists(encoded.candidates, lists.unsqueeze(1))  # (E, B, 1, M, Z)
        whole = self._mean_reward(encoded, shown, request.slot_valid)  # (B,)
        without = request.slot_valid.unsqueeze(1) & ~torch.eye(m, dtype=torch.bool).to(lists.device)
        repeated = encoded._replace(context=encoded.context.repeat_interleave(m, dim=1))
        copies = shown.repeat_interleave(m, dim=1)  # (E, B * M, 1, M, Z)
        rest = self._mean_reward(repeated, copies, without.flatten(0, 1)).view(b, m)
        return (whole.unsqueeze(1) - rest) * request.slot_valid

    def _mean_reward(self, encoded: EncodedRequest, shown: Tensor, slot_valid: Tensor) -> Tensor:
        """(rows,) mean reward over members of one list a row."""
        p_click, p_conversion = self.evaluator.score(encoded, shown, slot_valid)
        return list_reward(p_click, p_conversion, None, self.objective).mean(dim=0).squeeze(1)
