"""Proofs of infeasibility by counting: cheap, exact, and worded for the caller.

A proof names the constraints it needs. Finding none proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from model.contract.rules.problem import EXCLUDE_PATH, PINNED_PATH, SlotFillingProblem
from model.contract.rules.rule_arrays import BoolArray

InfeasibilityProof = tuple[list[str], str]  # rules, reason


def find_infeasibility(problem: SlotFillingProblem) -> InfeasibilityProof | None:
    """The first counting argument that holds, simplest first; None without one."""
    for arguments in (
        _pins_alone,
        _one_minimum,
        _minimums_together,
        _capacity_by_stretch,
        _minimum_under_caps,
    ):
        for proof in arguments(problem):
            return proof
    return None


def _pins_alone(problem: SlotFillingProblem) -> Iterator[InfeasibilityProof]:
    for row in np.flatnonzero(problem.remaining_capacity < 0).tolist():
        yield (
            [problem.row_constraints[row], PINNED_PATH],
            f"the pinned items alone break {problem.row_texts[row]}",
        )


def _one_minimum(problem: SlotFillingProblem) -> Iterator[InfeasibilityProof]:
    for row in np.flatnonzero(problem.remaining_minimum > 0).tolist():
        need, there = int(problem.remaining_minimum[row]), int(problem.member[row].sum())
        if need > there:
            excluded = [EXCLUDE_PATH] if problem.available_counts[row] >= need else []
            yield (
                [problem.row_constraints[row], *excluded],
                f"{problem.row_texts[row]} wants {need} items more, {there} candidates are left",
            )
        if need > problem.free_slot_count:
            yield (
                [problem.row_constraints[row], PINNED_PATH],
                f"{problem.row_texts[row]} wants {need} items, "
                f"{problem.free_slot_count} slots are not pinned",
            )


def _minimums_together(problem: SlotFillingProblem) -> Iterator[InfeasibilityProof]:
    """Minimums without a shared candidate need a slot for each of their items."""
    rows = np.flatnonzero(problem.remaining_minimum > 0).tolist()
    for first in rows:
        family = [first]
        for other in rows:
            if other != first and not (problem.member[family] & problem.member[other]).any():
                family.append(other)
        wanted = int(problem.remaining_minimum[family].sum())
        if wanted > problem.free_slot_count:
            yield (
                _proof_constraints(problem, family),
                f"together they want {wanted} items, {problem.free_slot_count} slots are free",
            )


def _capacity_by_stretch(problem: SlotFillingProblem) -> Iterator[InfeasibilityProof]:
    """Capacity of a stretch of slots: that of all capped values plus the uncounted candidates."""
    for rows in _caps_by_stretch(problem):
        stretch = int(problem.slots[rows[0]].sum())
        fill = _max_fitting(problem, rows, np.ones(problem.member.shape[1], dtype=np.bool_))
        if fill < stretch:
            yield (
                _proof_constraints(problem, rows),
                f"they leave items for {fill} of {stretch} free slots"
                f" ({problem.row_texts[rows[0]]} and the like)",
            )


def _minimum_under_caps(problem: SlotFillingProblem) -> Iterator[InfeasibilityProof]:
    """A minimum's items, as many as the caps over the whole list allow."""
    caps = [rows for rows in _caps_by_stretch(problem) if problem.slots[rows[0]].all()]
    for row in np.flatnonzero(problem.remaining_minimum > 0).tolist():
        for rows in caps:
            most = _max_fitting(problem, rows, problem.member[row])
            if most < problem.remaining_minimum[row]:
                yield (
                    _proof_constraints(problem, [row, *rows]),
                    f"{problem.row_texts[row]} wants {problem.remaining_minimum[row]} items, "
                    f"caps admit {most}",
                )


def _max_fitting(problem: SlotFillingProblem, rows: Sequence[int], of: BoolArray) -> int:
    """Number of these candidates that fit at most; each is in no row or uses capacity of one."""
    member = problem.member[rows] & of
    taken = np.minimum(problem.remaining_capacity[rows], member.sum(axis=1)).sum()
    return int(taken + (of & ~member.any(axis=0)).sum())


def _caps_by_stretch(problem: SlotFillingProblem) -> list[list[int]]:
    """Cap rows over the same free slots: those of each constraint, then those of all together."""
    groups: dict[tuple[str, bytes], list[int]] = {}
    for row, rule in enumerate(problem.row_constraints):
        if problem.remaining_minimum[row] <= 0 and problem.slots[row].any():
            stretch = problem.slots[row].tobytes()
            groups.setdefault((rule, stretch), []).append(row)
            groups.setdefault(("", stretch), []).append(row)
    return [groups[key] for key in sorted(groups, key=lambda key: not key[0])]


def _proof_constraints(problem: SlotFillingProblem, rows: Sequence[int]) -> list[str]:
    rules = list(dict.fromkeys(problem.row_constraints[row] for row in rows))
    return [*rules, *problem.other_constraints]
