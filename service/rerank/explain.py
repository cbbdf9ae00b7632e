"""Why this list: one more evaluator batch over the served list's own neighbors.

Per slot: what the list loses with the input list's item back, and the neighbors tried with their
gains; beside it every list that was compared. Bounded by a number of lists, not by N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.rerank.answer import plain
from service.rerank.deadline import Deadline
from service.rerank.search import judge, lawful
from service.rerank.steps import Steps
from service.rerank.task import Found, Lists, Task

MAX_NEIGHBORS = 512  # lists of the extra batch
_NAMED_PER_SLOT = 5  # neighbors that the answer names, best first
_ROOM = 1.5


@dataclass(frozen=True, slots=True)
class Edits:
    """Neighbors of the served list.

    lists: (X, M) int32.  slot: (X,) the slot edited.  place: (X,) the candidate put there.
    """

    lists: Lists
    slot: NDArray[np.int64]
    place: NDArray[np.int64]


def neighbors(task: Task, served: Lists) -> Edits:
    """One-edit neighbors that obey the rules: each slot's input item first, then upstream order.

    A candidate that already stands in the list swaps places, as in generation.
    """
    size = task.size
    slots = [j for j in range(size) if task.rules.editable[j]]
    per_slot = MAX_NEIGHBORS // max(len(slots), 1)
    lists, slot, place = [], [], []
    for j in slots:
        offers = [int(task.start[j]), *(k for k in range(task.candidates) if k != task.start[j])]
        for k in [k for k in offers if k != served[j] and task.rules.allowed[k]][:per_slot]:
            lists.append(_edited(served, size, j, k))
            slot.append(j)
            place.append(k)
    edits = Edits(
        np.asarray(lists, dtype=np.int32).reshape(-1, len(served)),
        np.asarray(slot, dtype=np.int64),
        np.asarray(place, dtype=np.int64),
    )
    kept = lawful(edits.lists, task) if lists else np.zeros(0, dtype=bool)
    return Edits(edits.lists[kept], edits.slot[kept], edits.place[kept])


def explain(
    task: Task, found: Found, item_ids: Sequence[str], deadline: Deadline
) -> Steps[dict[str, Any] | None]:
    """The answer's `explanation`, on the worker's thread; None when there is no time for it.

    A batch that the deadline ends is for nothing: it is only begun when it fits.
    """
    edits = neighbors(task, found.list)
    evaluated = len(found.lists) - (found.refined is not None)  # which was judged by itself
    needed_s = found.evaluate_s / evaluated * len(edits.lists) * _ROOM
    if needed_s > deadline.left_s():
        return None
    own = found.reward
    gains = np.zeros(0)
    if len(edits.lists):
        gains = (yield from judge(task, edits.lists))[2].mean(axis=0) - own
    size = task.size
    return {
        "slots": [_slot(j, task, found, edits, gains, item_ids) for j in range(size)],
        "lists": _compared(found, size, item_ids),
    }


def _slot(  # one slot of the answer, from the shared batch
    j: int, task: Task, found: Found, edits: Edits, gains: NDArray[Any], item_ids: Sequence[str]
) -> dict[str, Any]:
    served = found.list
    here = np.flatnonzero(edits.slot == j)
    back = here[edits.place[here] == task.start[j]]
    best = here[np.argsort(-gains[here], kind="stable")][:_NAMED_PER_SLOT]
    where = {int(k): i for i, k in enumerate(served[task.slot_valid])}
    numbers = plain(gains)
    return {
        "slot": j,
        "item_id": item_ids[served[j]],
        "p_click": plain(found.p_click)[j],
        "input_item_id": item_ids[task.start[j]],
        "gain_over_input_item": -numbers[back[0]] if len(back) else None,
        "neighbors": [
            {
                "item_id": item_ids[edits.place[x]],
                "gain": numbers[x],
                "swapped_with": where.get(int(edits.place[x])),
            }
            for x in best
        ],
    }


def _compared(found: Found, size: int, item_ids: Sequence[str]) -> list[dict[str, Any]]:
    rewards = plain(found.rewards.mean(axis=0))
    scores = [*plain(found.scores), 0.0]  # the input list against itself
    sources = {found.refined: "refined", len(found.lists) - 1: "input"}
    return [
        {
            "source": sources.get(at, "generated"),
            "item_ids": [item_ids[k] for k in row[:size]],
            "reward": rewards[at],
            "score": scores[at],
            "served": at == found.chosen,
        }
        for at, row in enumerate(found.lists)
    ]


def _edited(served: Lists, size: int, slot: int, place: int) -> Lists:
    """The served list with candidate `place` in `slot`; a swap when it already stands in it."""
    out = served.copy()
    other = np.flatnonzero(served[:size] == place)
    if len(other):
        out[other[0]] = served[slot]
    out[slot] = place
    return out
