"""The slot-filling problem that pins leave: free slots, allowed candidates, capacities of rows.

Holds numbers only; proofs are in `infeasibility.py`, the search in `solver.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.rules.rule_arrays import BoolArray, RuleArrays
from model.contract.wire.constraints import CONSTRAINTS_PATH

IntArray = NDArray[np.integer[Any]]
PINNED_PATH, EXCLUDE_PATH = f"{CONSTRAINTS_PATH}.pinned", f"{CONSTRAINTS_PATH}.exclude"


@dataclass(frozen=True, slots=True)
class SlotFillingProblem:
    """Fill F free slots of a list from n candidates in upstream order, under R rows.

    member: (R, n) bool, candidates that a row counts.
    slots: (R, F) bool, free slots over which a row counts.
    remaining_capacity: (R,) int, items that a row may still take.
    remaining_minimum: (R,) int, items that a row still requires (<= 0: none).
    row_constraints, row_texts: the constraint behind each row, and the row as text.
    available_counts: (R,) int, candidates that would count, with excluded and without pinned ones.
    other_constraints: constraints without rows that narrow the choice (pinned, exclude).
    """

    member: BoolArray
    slots: BoolArray
    remaining_capacity: IntArray
    remaining_minimum: IntArray
    row_constraints: Sequence[str]
    row_texts: Sequence[str]
    available_counts: IntArray
    other_constraints: Sequence[str]

    @property
    def free_slot_count(self) -> int:
        """Number of free slots, F."""
        return int(self.slots.shape[1])

    def without_constraint(self, constraint: str) -> SlotFillingProblem:
        """The same problem with one constraint lifted."""
        kept = [at for at, own in enumerate(self.row_constraints) if own != constraint]
        return replace(
            self,
            member=self.member[kept],
            slots=self.slots[kept],
            remaining_capacity=self.remaining_capacity[kept],
            remaining_minimum=self.remaining_minimum[kept],
            row_constraints=[self.row_constraints[at] for at in kept],
            row_texts=[self.row_texts[at] for at in kept],
            available_counts=self.available_counts[kept],
        )


def reduce_to_free_slots(
    arrays: RuleArrays,
    pinned: tuple[IntArray, IntArray],
    candidate_order: IntArray,
    row_constraints: Sequence[str],
    row_texts: list[str],
) -> SlotFillingProblem:
    """The problem that the pins leave.

    Args:
        arrays: the rule rows.
        pinned: the pinned slots and the candidates in them.
        candidate_order: (n,) candidates that may fill the free slots.
        row_constraints, row_texts: of the rows.
    """
    slots, items = pinned
    standing = (arrays.member[:, items] & arrays.slots[:, slots]).sum(axis=1)
    return SlotFillingProblem(
        member=arrays.member[:, candidate_order],
        slots=arrays.slots[:, arrays.editable],
        remaining_capacity=arrays.maximum.astype(np.int64) - standing,
        remaining_minimum=arrays.minimum.astype(np.int64) - standing,
        row_constraints=row_constraints,
        row_texts=row_texts,
        available_counts=arrays.member.sum(axis=1) - arrays.member[:, items].sum(axis=1),
        other_constraints=[
            *([PINNED_PATH] if len(slots) else []),
            *([] if arrays.allowed.all() else [EXCLUDE_PATH]),
        ],
    )
