"""Counting arguments that no list can meet the rows: cheap, exact, and in words for the caller.

A proof names the constraints it needs. Finding none proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from model.contract.rule_arrays import Bools
from model.contract.rule_problem import EXCLUDED, PINNED, Problem

Proof = tuple[list[str], str]  # rules, why


def prove(problem: Problem) -> Proof | None:
    """The first counting argument that holds, simplest first."""
    for arguments in (_pins_alone, _one_minimum, _minimums_together, _room, _minimum_under_caps):
        for proof in arguments(problem):
            return proof
    return None


def _pins_alone(problem: Problem) -> Iterator[Proof]:
    for row in np.flatnonzero(problem.room < 0).tolist():
        yield [problem.rules[row], PINNED], f"the pinned items alone break {problem.names[row]}"


def _one_minimum(problem: Problem) -> Iterator[Proof]:
    for row in np.flatnonzero(problem.need > 0).tolist():
        need, there = int(problem.need[row]), int(problem.member[row].sum())
        if need > there:
            excluded = [EXCLUDED] if problem.there[row] >= need else []
            yield (
                [problem.rules[row], *excluded],
                f"{problem.names[row]} wants {need} items more, {there} candidates are left",
            )
        if need > problem.free:
            yield (
                [problem.rules[row], PINNED],
                f"{problem.names[row]} wants {need} items, {problem.free} slots are not pinned",
            )


def _minimums_together(problem: Problem) -> Iterator[Proof]:
    """Minimums that no candidate serves two of need a slot for each of their items."""
    rows = np.flatnonzero(problem.need > 0).tolist()
    for first in rows:
        family = [first]
        for other in rows:
            if other != first and not (problem.member[family] & problem.member[other]).any():
                family.append(other)
        wanted = int(problem.need[family].sum())
        if wanted > problem.free:
            yield (
                _named(problem, family),
                f"together they want {wanted} items, {problem.free} slots are free",
            )


def _room(problem: Problem) -> Iterator[Proof]:
    """Over a stretch of slots: room of all capped values, plus the candidates that none counts."""
    for rows in _caps_by_stretch(problem):
        stretch = int(problem.slots[rows[0]].sum())
        fill = _most(problem, rows, np.ones(problem.member.shape[1], dtype=np.bool_))
        if fill < stretch:
            yield (
                _named(problem, rows),
                f"they leave items for {fill} of {stretch} free slots"
                f" ({problem.names[rows[0]]} and the like)",
            )


def _minimum_under_caps(problem: Problem) -> Iterator[Proof]:
    """A minimum's items, as many as the caps over the whole list let through."""
    caps = [rows for rows in _caps_by_stretch(problem) if problem.slots[rows[0]].all()]
    for row in np.flatnonzero(problem.need > 0).tolist():
        for rows in caps:
            most = _most(problem, rows, problem.member[row])
            if most < problem.need[row]:
                yield (
                    _named(problem, [row, *rows]),
                    f"{problem.names[row]} wants {problem.need[row]} items, caps admit {most}",
                )


def _most(problem: Problem, rows: Sequence[int], of: Bools) -> int:
    """At most so many of these candidates fit: each either is in no row or takes room in one."""
    member = problem.member[rows] & of
    taken = np.minimum(problem.room[rows], member.sum(axis=1)).sum()
    return int(taken + (of & ~member.any(axis=0)).sum())


def _caps_by_stretch(problem: Problem) -> list[list[int]]:
    """Cap rows over the same free slots: those of each constraint, then those of all together."""
    groups: dict[tuple[str, bytes], list[int]] = {}
    for row, rule in enumerate(problem.rules):
        if problem.need[row] <= 0 and problem.slots[row].any():
            stretch = problem.slots[row].tobytes()
            groups.setdefault((rule, stretch), []).append(row)
            groups.setdefault(("", stretch), []).append(row)
    return [groups[key] for key in sorted(groups, key=lambda key: not key[0])]


def _named(problem: Problem, rows: Sequence[int]) -> list[str]:
    rules = list(dict.fromkeys(problem.rules[row] for row in rows))
    return [*rules, *problem.beside]
