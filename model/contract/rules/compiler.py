"""Compiles wire constraints to rule arrays and a feasible start list, and checks served lists.

The start list is the input list, repaired: pins are set, excluded items are removed, and the rest
keeps the upstream order as far as the rules allow. An excluded id that is no candidate has no
effect; a pinned one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import RulesUnsatisfiable, ValueRejected
from model.contract.rules.repair import repair_start_list
from model.contract.rules.rows import RuleRowBlock, build_rule_rows
from model.contract.rules.rule_arrays import BoolArray, RuleArrays
from model.contract.schema.fitted import EmbeddingIndices, FittedSchema
from model.contract.wire.constraints import CONSTRAINTS_PATH, Constraints

_NONE = Constraints()


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The compiled rules of one request.

    arrays: inputs of the rule graph and of the verifier.
    start_list: (M,) int32 candidate indices, 0 beyond the list; obeys every rule.
    pinned_slots: (M,) bool.
    row_blocks: source of each group of rows.
    """

    arrays: RuleArrays
    start_list: NDArray[np.int32]
    pinned_slots: BoolArray
    row_blocks: Sequence[RuleRowBlock]

    @property
    def row_texts(self) -> list[str]:
        """One text for each row of the arrays."""
        return [name for block in self.row_blocks for name in block.row_texts()]

    @property
    def row_constraints(self) -> list[str]:
        """The constraint behind each row, `constraints.caps[1]`."""
        return [block.constraint for block in self.row_blocks for _ in range(block.row_count)]


def compile_rules(
    constraints: Constraints | None,
    *,
    schema: FittedSchema,
    item_ids: Sequence[str],
    rows: EmbeddingIndices,
    slots: int,
    list_size: int,
) -> CompiledRules:
    """Compile the rules and repair the input list.

    Args:
        constraints: of the request, None when there are none.
        schema: declares the encoded columns.
        item_ids: N distinct ids in upstream order.
        rows: (N, Fc) int32, the encoded candidates.
        slots: M of the graphs.
        list_size: slots of this list, at most M and N.

    Raises:
        ValueRejected: a field, value, slot or item that does not exist; names the constraint.
        RulesUnsatisfiable: no list can meet the rules: proven.
        RulesUndecided: the bounded search found none.
    """
    if not constraints and list_size <= len(item_ids):
        return _without_rules(len(item_ids), slots, list_size)
    constraints = constraints or _NONE
    constraints.check_list_size(list_size)
    allowed, start, pinned = _apply_pins(constraints, item_ids, slots)
    blocks = build_rule_rows(constraints, schema, rows, list_size)
    arrays = RuleArrays(
        allowed=allowed,
        editable=~pinned & (np.arange(slots) < list_size),
        **_stack_rows(blocks, len(item_ids), slots),
    )
    compiled = CompiledRules(arrays, start, pinned, blocks)
    free = np.flatnonzero(arrays.editable)
    usable = allowed.copy()
    usable[start[pinned]] = False
    order = np.flatnonzero(usable)
    if len(order) < len(free):
        raise RulesUnsatisfiable(
            constraints=[f"{CONSTRAINTS_PATH}.exclude"],
            reason=f"{int(allowed.sum())} candidates are left for a list of {list_size}",
        )
    start[free] = order[: len(free)]
    slot_valid = np.arange(slots) < list_size
    if blocks and not arrays.satisfied_by(start[None], slot_valid)[0]:
        fixed = np.flatnonzero(pinned), start[pinned]
        start[free] = repair_start_list(
            arrays, fixed, order, compiled.row_constraints, compiled.row_texts
        )
    return compiled


@lru_cache(maxsize=512)
def _without_rules(candidates: int, slots: int, list_size: int) -> CompiledRules:
    """Shared read-only result for requests of these sizes without constraints, the common case.

    Making it costs 18 us per request, the cache lookup .3 us (measured 2026-11-21).
    """
    places = np.arange(slots, dtype=np.int32)
    editable = places < list_size
    arrays = RuleArrays(
        allowed=np.ones(candidates, dtype=np.bool_),
        editable=editable,
        **_stack_rows([], candidates, slots),
    )
    compiled = CompiledRules(
        arrays, np.where(editable, places, 0).astype(np.int32), np.zeros(slots, dtype=np.bool_), []
    )
    for field in fields(arrays):
        getattr(arrays, field.name).flags.writeable = False
    compiled.start_list.flags.writeable = compiled.pinned_slots.flags.writeable = False
    return compiled


def find_rule_violations(
    compiled: CompiledRules,
    candidate_indices: Sequence[int] | NDArray[np.integer[Any]],
    list_size: int,
) -> list[str]:
    """Rules that a list of candidate indices breaks, as texts; empty for a feasible list."""
    arrays, shown = compiled.arrays, np.asarray(candidate_indices)
    if shown.shape != (list_size,):
        return [f"the list has {shown.size} slots, not {list_size}"]
    if ((shown < 0) | (shown >= len(arrays.allowed))).any():
        return ["an item is no candidate"]
    broken = []
    if len(set(shown.tolist())) != list_size:
        broken.append("an item stands twice")
    if not arrays.allowed[shown].all():
        broken.append(f"{CONSTRAINTS_PATH}.exclude")
    moved = compiled.pinned_slots[:list_size] & (shown != compiled.start_list[:list_size])
    broken += [f"{CONSTRAINTS_PATH}.pinned slot {slot}" for slot in np.flatnonzero(moved)]
    counts = (arrays.member[:, shown] & arrays.slots[:, :list_size]).sum(axis=1)
    outside = (counts < arrays.minimum) | (counts > arrays.maximum)
    names = compiled.row_texts if outside.any() else []
    return broken + [names[row] for row in np.flatnonzero(outside)]


def _apply_pins(
    constraints: Constraints, item_ids: Sequence[str], slots: int
) -> tuple[BoolArray, NDArray[np.int32], BoolArray]:
    """Allowed (N,), start (M,) with the pins in place, pinned (M,)."""
    allowed = np.ones(len(item_ids), dtype=np.bool_)
    start = np.zeros(slots, dtype=np.int32)
    pinned = np.zeros(slots, dtype=np.bool_)
    if not (constraints.exclude or constraints.pinned):
        return allowed, start, pinned
    place = {item_id: at for at, item_id in enumerate(item_ids)}
    for item_id in constraints.exclude:
        if item_id in place:
            allowed[place[item_id]] = False
    for at, pin in enumerate(constraints.pinned):
        if pin.item_id not in place:
            raise ValueRejected(
                field=f"{CONSTRAINTS_PATH}.pinned[{at}].item_id",
                rule=f"{pin.item_id!r} is no candidate",
            )
        start[pin.slot], pinned[pin.slot] = place[pin.item_id], True
    return allowed, start, pinned


def _stack_rows(blocks: Sequence[RuleRowBlock], candidates: int, slots: int) -> dict[str, Any]:
    """All blocks' rows as arrays, ordered by value, then by window."""
    counts = np.array([block.row_count for block in blocks], dtype=np.int64)
    member = [np.repeat(block.member, len(block.first_slots), axis=0) for block in blocks]
    spans = [np.tile(block.slot_masks(slots), (len(block.values), 1)) for block in blocks]
    none = np.zeros((0, candidates), dtype=np.bool_), np.zeros((0, slots), dtype=np.bool_)
    return {
        "member": np.concatenate([none[0], *member]),
        "slots": np.concatenate([none[1], *spans]),
        "minimum": np.repeat(np.array([b.minimum for b in blocks], dtype=np.float32), counts),
        "maximum": np.repeat(np.array([b.maximum for b in blocks], dtype=np.float32), counts),
    }
