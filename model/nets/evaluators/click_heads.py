"""Click models: from the logits of a list's slots to click probabilities, one model a member.

Members whose models differ err in different ways on lists that the log does not hold, so their mean
is safer to search than any of them (docs/explanation/method.md#pair-evaluator).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

POSITION, CHOICE, CASCADE = "position", "choice", "cascade"
_MAX_EXPONENT = 30.0  # of a choice weight: far above any learned logit, far below overflow
_MIN_CONTINUATION = 1e-6  # keeps the logarithm of a continuation finite


class ClickHeads(nn.Module):
    """The click model of each member; z is the appeal logit of a slot, e its examination logit.

    position: p_j = sigmoid(e_j) sigmoid(z_j), the examination hypothesis.
    choice:   p_j = sigmoid(e_j) exp(z_j - u) / (1 + sum_l sigmoid(e_l) exp(z_l - u)), a multinomial
              logit with an outside option: at most one click a list.
    cascade:  p_j = sigmoid(z_j) product over i < j of sigmoid(e_i) (1 - s sigmoid(z_i)): the user
              continues past slot i with a probability that falls with its appeal.

    u (`outside_logit`) and s (`satisfaction_logit`, through a sigmoid) are learned for each member.

    Args:
        models: one of the names above for each member; equal names stand together.
        slots: M.
    """

    slots_above: Tensor

    def __init__(self, models: Sequence[str], slots: int) -> None:
        super().__init__()
        self.groups = _group_members(models)
        self.outside_logit = nn.Parameter(torch.full((len(models), 1, 1, 1), 2.0))
        self.satisfaction_logit = nn.Parameter(torch.full((len(models), 1, 1, 1), -2.0))
        above = torch.ones(slots, slots).tril(-1)  # (j, i): 1 where i is above j
        self.register_buffer("slots_above", above, persistent=False)

    def forward(self, appeal: Tensor, examination: Tensor, slot_weight: Tensor) -> Tensor:
        """Click probabilities of R lists whose slots are the third axis.

        Args:
            appeal: (E, B, M, R) z.
            examination: (E, B, M, R) or broadcastable, e.
            slot_weight: (B, M, 1) float, 1 for a slot of the list, 0 for padding at its end.

        Returns:
            (E, B, M, R) float; undefined in padding.
        """
        parts = []
        for model, members in self.groups:
            z, e = appeal[members], examination[members]
            if model == CHOICE:
                parts.append(self._choose(z, e, slot_weight, members))
            elif model == CASCADE:
                parts.append(self._read_downwards(z, e, members))
            else:
                parts.append(torch.sigmoid(z) * torch.sigmoid(e))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _choose(self, z: Tensor, e: Tensor, slot_weight: Tensor, members: slice) -> Tensor:
        exponent = (z - self.outside_logit[members]).clamp(max=_MAX_EXPONENT)
        weight = torch.exp(exponent) * torch.sigmoid(e) * slot_weight
        return weight / (1.0 + weight.sum(dim=-2, keepdim=True))

    def _read_downwards(self, z: Tensor, e: Tensor, members: slice) -> Tensor:
        clicked = torch.sigmoid(z)
        satisfied = torch.sigmoid(self.satisfaction_logit[members]) * clicked
        continued = (torch.sigmoid(e) * (1.0 - satisfied)).clamp(min=_MIN_CONTINUATION)
        return clicked * torch.exp(self.slots_above @ torch.log(continued))

    @torch.no_grad()
    def scale_click_logits(self, factor: float) -> None:
        """Follow appeal logits that are multiplied by a factor, in place."""
        self.outside_logit.mul_(factor)


def _group_members(models: Sequence[str]) -> list[tuple[str, slice]]:
    groups, first = [], 0
    for model, members in groupby(models):
        last = first + len(list(members))
        groups.append((model, slice(first, last)))
        first = last
    return groups
