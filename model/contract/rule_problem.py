"""What is left to decide once the pins stand: free slots, who may fill them, each row's room.

Holds numbers only; proofs are in `rule_proof.py`, the search in `rule_search.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.constraints import ROOT
from model.contract.rule_arrays import Bools, RuleArrays

Ints = NDArray[np.integer[Any]]
PINNED, EXCLUDED = f"{ROOT}.pinned", f"{ROOT}.exclude"


@dataclass(frozen=True, slots=True)
class Problem:
    """Fill F free slots of a list from n candidates in upstream order, under R rows.

    member: (R, n) bool, who counts. slots: (R, F) bool, free slots over which a row counts.
    room: (R,) how many more a row takes; need: (R,) how many more it wants (<= 0: none).
    rules, names: the constraint behind each row, and the row in words.
    there: (R,) candidates that would count, excluded ones too, pinned ones not.
    beside: constraints that are no rows but narrow the choice (pinned, exclude).
    """

    member: Bools
    slots: Bools
    room: Ints
    need: Ints
    rules: Sequence[str]
    names: Sequence[str]
    there: Ints
    beside: Sequence[str]

    @property
    def free(self) -> int:
        """F."""
        return int(self.slots.shape[1])

    def without(self, rule: str) -> Problem:
        """The same problem with one constraint lifted."""
        kept = [at for at, own in enumerate(self.rules) if own != rule]
        return replace(
            self,
            member=self.member[kept],
            slots=self.slots[kept],
            room=self.room[kept],
            need=self.need[kept],
            rules=[self.rules[at] for at in kept],
            names=[self.names[at] for at in kept],
            there=self.there[kept],
        )


def pose(
    arrays: RuleArrays,
    fixed: tuple[Ints, Ints],
    order: Ints,
    rules: Sequence[str],
    names: list[str],
) -> Problem:
    """The problem that the pins leave.

    Args:
        arrays: the rule rows.
        fixed: the pinned slots and the candidates in them.
        order: (n,) candidates that may fill the free slots.
        rules, names: of the rows.
    """
    slots, items = fixed
    standing = (arrays.member[:, items] & arrays.slots[:, slots]).sum(axis=1)
    return Problem(
        member=arrays.member[:, order],
        slots=arrays.slots[:, arrays.editable],
        room=arrays.maximum.astype(np.int64) - standing,
        need=arrays.minimum.astype(np.int64) - standing,
        rules=rules,
        names=names,
        there=arrays.member.sum(axis=1) - arrays.member[:, items].sum(axis=1),
        beside=[
            *([PINNED] if len(slots) else []),
            *([] if arrays.allowed.all() else [EXCLUDED]),
        ],
    )
