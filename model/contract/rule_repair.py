"""The input list does not obey: find the first one in upstream order that does, or say why not.

First a short search (most lists need few changes), then counting arguments, then a long search,
then one that gives up upstream order. What a search exhausts is proven, and narrowed to the
constraints that clash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import RulesUndecided, RulesUnsatisfiable
from model.contract.rule_arrays import RuleArrays
from model.contract.rule_problem import Ints, Problem, pose
from model.contract.rule_proof import prove
from model.contract.rule_search import GaveUp, Search

SHORT, LONG = 2_000, 30_000  # bounds on work, of which a core does over a million a second


def repair(
    arrays: RuleArrays,
    fixed: tuple[Ints, Ints],
    order: Ints,
    rules: Sequence[str],
    names: list[str],
) -> NDArray[np.int32]:
    """Candidates for the free slots; raises RulesUnsatisfiable or RulesUndecided.

    Args:
        arrays: the rule rows.
        fixed: the pinned slots and the candidates in them.
        order: (n,) candidates that may fill the free slots, in upstream order.
        rules, names: the constraint behind each row, and the row in words.
    """
    problem = pose(arrays, fixed, order, rules, names)
    found = _search(problem, SHORT)
    if isinstance(found, int):
        proof = prove(problem)
        if proof is not None:
            raise RulesUnsatisfiable(rules=proof[0], why=proof[1])
        found = _search(problem, LONG)
    if isinstance(found, int):
        found = _search_easiest_first(problem, found)
    if found is None:
        proof = prove(problem) or (_clashing(problem), "every list was tried")
        raise RulesUnsatisfiable(rules=proof[0], why=proof[1])
    return order[found].astype(np.int32)


def _search(problem: Problem, limit: int) -> list[int] | int | None:
    """A list, None when there is none, or the work after which it gave up."""
    search = Search(problem, limit)
    try:
        return search.run()
    except GaveUp:
        return search.work


def _search_easiest_first(problem: Problem, tried: int) -> list[int] | None:
    """Give up upstream order to find any list: whom minimums want first, then who counts least."""
    wanted = problem.member[problem.need > 0].any(axis=0)
    easiest = np.lexsort((problem.member.sum(axis=0), ~wanted))
    found = _search(replace(problem, member=problem.member[:, easiest]), LONG)
    if isinstance(found, int):
        raise RulesUndecided(rules=_distinct(problem), tried=tried + found)
    if found is None:
        return None
    places: list[int] = easiest[found].tolist()
    return sorted(places) if problem.slots.all() else places  # no windows: any order of them obeys


def _clashing(problem: Problem) -> list[str]:
    """Lift one constraint after the other; those without which it still cannot be are no part."""
    for rule in _distinct(problem):
        lifted = problem.without(rule)
        if lifted.rules and _search(lifted, SHORT) is None:
            problem = lifted
    return [*_distinct(problem), *problem.beside]


def _distinct(problem: Problem) -> list[str]:
    return list(dict.fromkeys(problem.rules))
