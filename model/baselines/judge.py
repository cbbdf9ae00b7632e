"""The frozen evaluator as a teacher: what each slot of a list is worth, with its other slots."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.contract.choice import Objective
from model.nets.evaluator import Encoded, Evaluator
from model.nets.inputs import RequestTensors
from model.nets.layers import take_lists
from model.rewards import list_reward
from model.search import Scorer


@dataclass(frozen=True, slots=True)
class Judge:
    """An evaluator under an objective. No net of its own: its weights are nobody's to train."""

    evaluator: Evaluator
    objective: Objective

    def __post_init__(self) -> None:
        if self.objective.value:
            raise ValueError("baselines see no item values: the objective's `value` must be 0")

    def scorer(self, request: RequestTensors) -> Scorer:
        """Rewards of any lists of these requests."""
        return Scorer(self.evaluator, request, self.objective)

    @torch.no_grad()
    def rewards(self, request: RequestTensors, lists: Tensor) -> Tensor:
        """(B, K, M) lists -> (B, K) mean rewards of the members."""
        return self.scorer(request)(lists)

    @torch.no_grad()
    def marginal_rewards(self, request: RequestTensors, lists: Tensor) -> Tensor:
        """What a list loses when a slot is left empty: (B, M) lists -> (B, M).

        It is the slot's own worth plus what the item does for the others: sum over the other slots
        of their worth beside it, minus their worth without it.
        """
        b, m = lists.shape
        encoded = self.evaluator.encode(request)
        shown = take_lists(encoded.candidates, lists.unsqueeze(1))  # (E, B, 1, M, Z)
        whole = self._reward(encoded, shown, request.slot_valid)  # (B,)
        without = request.slot_valid.unsqueeze(1) & ~torch.eye(m, dtype=torch.bool).to(lists.device)
        repeated = encoded._replace(context=encoded.context.repeat_interleave(m, dim=1))
        copies = shown.repeat_interleave(m, dim=1)  # (E, B * M, 1, M, Z)
        rest = self._reward(repeated, copies, without.flatten(0, 1)).view(b, m)
        return (whole.unsqueeze(1) - rest) * request.slot_valid

    def _reward(self, encoded: Encoded, shown: Tensor, slot_valid: Tensor) -> Tensor:
        """(rows,) mean reward over members of one list a row."""
        p_click, p_conversion = self.evaluator.score(encoded, shown, slot_valid)
        return list_reward(p_click, p_conversion, None, self.objective).mean(dim=0).squeeze(1)
