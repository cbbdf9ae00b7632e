"""A bounded, exact search for the first list in upstream order that meets all rows.

Depth-first over the slots, candidates in upstream order. Candidates that count for the same rows
are one class: when one of them fails in a slot, so do the others. Failed states are remembered. The
bound is on work, not on time, so that the same request has the same result on every machine.
"""

from __future__ import annotations

import numpy as np

from model.contract.rules.problem import SlotFillingProblem


class WorkLimitExceeded(Exception):
    """The work limit was reached before all lists were tried."""


class BacktrackingSolver:
    """One search; `work_done` counts visited rows, which its time is proportional to."""

    def __init__(self, problem: SlotFillingProblem, work_limit: int) -> None:
        self._limit, self.work_done = work_limit, 0
        self._free, self._candidates = problem.free_slot_count, problem.member.shape[1]
        self._room, self._need = (
            problem.remaining_capacity.tolist(),
            problem.remaining_minimum.tolist(),
        )
        self._group(problem)
        self._minimums = [row for row, need in enumerate(self._need) if need > 0]
        self._families = _disjoint_families(problem, self._minimums)
        self._classes_by_minimum = self._classes_that_serve(problem)
        self._live = _live_rows(problem)
        self._failed_states: list[set[tuple[int, ...]]] = [set() for _ in range(self._free)]
        self._used = [False] * self._candidates
        self._chosen: list[int] = []

    def solve(self) -> list[int] | None:
        """Candidate of each slot, None when no list meets the rows; may raise WorkLimitExceeded."""
        if min(self._room, default=0) < 0 or not self._minimums_fit(self._free):
            return None
        return self._chosen if self._fill(0) else None

    def _group(self, problem: SlotFillingProblem) -> None:
        """Classes of candidates that count for the same rows."""
        counted = np.packbits(problem.member, axis=0)  # bytes of a column: the rows it counts for
        numbers: dict[bytes, int] = {}
        self._class = [
            numbers.setdefault(column.tobytes(), len(numbers))
            for column in np.ascontiguousarray(counted.T)
        ]
        self._unused = [0] * len(numbers)
        first = [0] * len(numbers)
        for at in range(self._candidates - 1, -1, -1):
            self._unused[self._class[at]] += 1
            first[self._class[at]] = at
        self._member, self._slots = problem.member[:, first].T, problem.slots.T  # (C, R), (F, R)
        self._everywhere = bool(problem.slots.all())
        self._touched: dict[tuple[int, int], list[int]] = {}

    def _classes_that_serve(self, problem: SlotFillingProblem) -> list[list[tuple[int, list[int]]]]:
        """For each minimum, the classes that count for it, each with its caps on the whole list."""
        whole = np.asarray(problem.slots.all(axis=1))
        serving = []
        for wanted in self._minimums:
            others = whole & (np.arange(len(whole)) != wanted)
            serving.append(
                [
                    (number, np.flatnonzero(self._member[number] & others).tolist())
                    for number in np.flatnonzero(self._member[:, wanted]).tolist()
                ]
            )
        return serving

    def _counting_rows(self, number: int, depth: int) -> list[int]:
        """Rows that count this class in this slot."""
        key = (number, 0 if self._everywhere else depth)
        rows = self._touched.get(key)
        if rows is None:
            here = self._member[number] & self._slots[depth]
            rows = self._touched[key] = np.flatnonzero(here).tolist()
        return rows

    def _fill(self, depth: int) -> bool:
        if depth == self._free:
            return True
        if self._failed_states[depth] and self._state(depth) in self._failed_states[depth]:
            return False
        self.work_done += 1 + self._candidates // 4
        tried = set()
        for at in range(self._candidates):
            number = self._class[at]
            if self._used[at] or number in tried:
                continue
            tried.add(number)
            if self._try_candidate(at, number, depth):
                return True
        self._failed_states[depth].add(self._state(depth))
        return False

    def _try_candidate(self, at: int, number: int, depth: int) -> bool:
        room, need = self._room, self._need
        rows = self._counting_rows(number, depth)
        self.work_done += 1 + len(rows)
        if self.work_done > self._limit:
            raise WorkLimitExceeded
        for row in rows:
            if room[row] <= 0:
                return False
        self._used[at] = True
        self._unused[number] -= 1
        self._chosen.append(at)
        for row in rows:
            room[row] -= 1
            need[row] -= 1
        left = self._free - depth - 1
        if self._minimums_fit(left) and self._minimums_reachable() and self._fill(depth + 1):
            return True
        for row in rows:
            room[row] += 1
            need[row] += 1
        self._chosen.pop()
        self._unused[number] += 1
        self._used[at] = False
        return False

    def _minimums_fit(self, left: int) -> bool:
        """Whether the remaining slots are enough for minimums without a shared item."""
        need = self._need
        return all(sum(max(need[row], 0) for row in rows) <= left for rows in self._families)

    def _minimums_reachable(self) -> bool:
        """Whether each minimum still has enough candidates that no full cap excludes."""
        room = self._room
        for wanted, classes in zip(self._minimums, self._classes_by_minimum, strict=True):
            need = self._need[wanted]
            for number, caps in classes:
                if need <= 0:
                    break
                self.work_done += 1
                need -= min([self._unused[number], *(room[row] for row in caps)])
            if need > 0:
                return False
        return True

    def _state(self, depth: int) -> tuple[int, ...]:
        """Key of everything the rest of the search depends on, clipped to the remaining slots."""
        left, room, need = self._free - depth, self._room, self._need
        live = self._live[depth]
        self.work_done += (len(live) + len(self._unused)) // 2
        return (
            *(min(room[row], left) for row in live),
            *(max(need[row], 0) for row in self._minimums),
            *(min(count, left) for count in self._unused),
        )


def _live_rows(problem: SlotFillingProblem) -> list[list[int]]:
    """For each free slot, the rows that count both before it and at or after it."""
    slots = problem.slots
    started = np.zeros(slots.shape, dtype=np.bool_)
    started[:, 1:] = np.logical_or.accumulate(slots, axis=1)[:, :-1]
    ahead = np.logical_or.accumulate(slots[:, ::-1], axis=1)[:, ::-1]
    return [np.flatnonzero(column).tolist() for column in (started & ahead).T]


def _disjoint_families(problem: SlotFillingProblem, minimums: list[int]) -> list[list[int]]:
    """Sets of minimums without a shared candidate; each minimum is in at least one."""
    member = problem.member[minimums].astype(np.int64)
    shared = (member @ member.T) > 0
    families = []
    for first in range(len(minimums)):
        family = [first]
        for other in range(len(minimums)):
            if other != first and not shared[other, family].any():
                family.append(other)
        families.append([minimums[at] for at in family])
    return families
