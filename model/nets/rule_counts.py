"""Rules of requests as counts over slots, checked for lists and for edits.

For nets and graphs. `model.contract.rules` compiles the rules of a request.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from model.nets.request_tensors import RequestTensors


class RuleTensors(NamedTuple):
    """Rules of a batch of requests as counts (`model.contract.rules.rule_arrays`).

    member: (B, R, N) bool, candidates that rule r counts.
    slots: (B, R, M) bool, slots in which it counts them.
    minimum, maximum: (B, R) float, bounds of the count.
    """

    member: Tensor
    slots: Tensor
    minimum: Tensor
    maximum: Tensor


class RuleCounts(NamedTuple):
    """Rules as floats, computed once per request.

    member: (B, 1, R, N).
    member_by_row: (B * N, R), the same by row.
    slots: (B, 1, R, M).
    minimum, maximum: (B, 1, R, 1).
    """

    member: Tensor
    member_by_row: Tensor
    slots: Tensor
    minimum: Tensor
    maximum: Tensor

    @classmethod
    def from_rules(cls, rules: RuleTensors, request: RequestTensors) -> RuleCounts:
        """Convert to floats; padded slots count 0."""
        member = rules.member.to(torch.float32)
        slots = (rules.slots & request.slot_valid.unsqueeze(1)).to(torch.float32)
        return cls(
            member.unsqueeze(1),
            member.transpose(1, 2).flatten(0, 1),
            slots.unsqueeze(1),
            rules.minimum[:, None, :, None],
            rules.maximum[:, None, :, None],
        )


def satisfies_rules(counts: RuleCounts, rows: Tensor) -> Tensor:
    """True (B, L) where a list of rows (B, L, M) keeps every count in its bounds."""
    count = _count_rules(counts, rows)[1]
    return ((count >= counts.minimum) & (count <= counts.maximum)).flatten(2).all(dim=-1)


def edit_rule_violations(
    counts: RuleCounts, rows: Tensor, row_offset: Tensor, edited_slot: Tensor
) -> Tensor:
    """Violation (B, K, N) of each candidate in the edited slot: 0 where all counts are in bounds.

    An edit puts candidate k into slot j. If k was in slot l, the old item o moves to l. Count r
    changes by (slots_rj - slots_rl) (member_rk - member_ro), where slots_rl is 0 without such an l.

    Args:
        counts: the rules.
        rows: (B, K, M) int64, the row of each slot's item.
        row_offset: (B, 1, 1) int64, the row of candidate 0.
        edited_slot: (B, K, 1) int64, the slot j.
    """
    n, m = counts.member.shape[-1], rows.shape[-1]
    candidates = torch.arange(n, device=rows.device) + row_offset  # (B, 1, N)
    in_list = (rows.unsqueeze(-1) == candidates.unsqueeze(-2)).to(torch.float32)
    in_slot, count = _count_rules(counts, rows)
    slot = functional.embedding(edited_slot, torch.eye(m, device=rows.device)).transpose(-1, -2)
    old = in_slot @ slot  # (B, K, R, 1): member_ro
    came_from = counts.slots @ in_list  # (B, K, R, N): slots_rl, 0 if k is in no slot
    after = count + (counts.slots @ slot - came_from) * (counts.member - old)  # (B, K, R, N)
    beyond = torch.maximum(counts.minimum - after, after - counts.maximum)
    return torch.relu(beyond.amax(dim=2))


def _count_rules(counts: RuleCounts, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Per rule: membership of each slot's item (B, L, R, M), and the count (B, L, R, 1)."""
    in_slot = functional.embedding(rows, counts.member_by_row).transpose(-1, -2)
    return in_slot, (in_slot * counts.slots).sum(dim=-1, keepdim=True)
