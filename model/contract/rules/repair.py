"""Repairs an input list that breaks rules: the first feasible list in upstream order.

First a short search (most lists need few changes), then counting arguments, then a long search,
then one that ignores upstream order. An exhausted search is a proof of infeasibility; it is
narrowed to the constraints that conflict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import RulesUndecided, RulesUnsatisfiable
from model.contract.rules.infeasibility import find_infeasibility
from model.contract.rules.problem import IntArray, SlotFillingProblem, reduce_to_free_slots
from model.contract.rules.rule_arrays import RuleArrays
from model.contract.rules.solver import BacktrackingSolver, WorkLimitExceeded

SHORT_WORK_LIMIT, LONG_WORK_LIMIT = (
    2_000,
    30_000,
)  # bounds on work units; a core does over a million per second


def repair_start_list(
    arrays: RuleArrays,
    pinned: tuple[IntArray, IntArray],
    candidate_order: IntArray,
    row_constraints: Sequence[str],
    row_texts: list[str],
) -> NDArray[np.int32]:
    """Candidates for the free slots; raises RulesUnsatisfiable or RulesUndecided.

    Args:
        arrays: the rule rows.
        pinned: the pinned slots and the candidates in them.
        candidate_order: (n,) candidates that may fill the free slots, in upstream order.
        row_constraints, row_texts: the constraint behind each row, and the row as text.
    """
    problem = reduce_to_free_slots(arrays, pinned, candidate_order, row_constraints, row_texts)
    found = _search(problem, SHORT_WORK_LIMIT)
    if isinstance(found, int):
        proof = find_infeasibility(problem)
        if proof is not None:
            raise RulesUnsatisfiable(constraints=proof[0], reason=proof[1])
        found = _search(problem, LONG_WORK_LIMIT)
    if isinstance(found, int):
        found = _search_easiest_first(problem, found)
    if found is None:
        proof = find_infeasibility(problem) or (_minimal_conflict(problem), "every list was tried")
        raise RulesUnsatisfiable(constraints=proof[0], reason=proof[1])
    return candidate_order[found].astype(np.int32)


def _search(problem: SlotFillingProblem, limit: int) -> list[int] | int | None:
    """A list, None when none exists, or the work after which the search stopped."""
    search = BacktrackingSolver(problem, limit)
    try:
        return search.solve()
    except WorkLimitExceeded:
        return search.work_done


def _search_easiest_first(problem: SlotFillingProblem, tried: int) -> list[int] | None:
    """Search any list, ignoring upstream order: items of minimums first, then least counted."""
    wanted = problem.member[problem.remaining_minimum > 0].any(axis=0)
    easiest = np.lexsort((problem.member.sum(axis=0), ~wanted))
    found = _search(replace(problem, member=problem.member[:, easiest]), LONG_WORK_LIMIT)
    if isinstance(found, int):
        raise RulesUndecided(constraints=_distinct_constraints(problem), work_done=tried + found)
    if found is None:
        return None
    places: list[int] = easiest[found].tolist()
    return sorted(places) if problem.slots.all() else places  # no windows: any order of them obeys


def _minimal_conflict(problem: SlotFillingProblem) -> list[str]:
    """Constraints of a minimal conflict; without any of them the problem is feasible."""
    for rule in _distinct_constraints(problem):
        lifted = problem.without_constraint(rule)
        if lifted.row_constraints and _search(lifted, SHORT_WORK_LIMIT) is None:
            problem = lifted
    return [*_distinct_constraints(problem), *problem.other_constraints]


def _distinct_constraints(problem: SlotFillingProblem) -> list[str]:
    return list(dict.fromkeys(problem.row_constraints))
