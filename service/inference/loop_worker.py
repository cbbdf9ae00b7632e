"""Graphs on the event loop itself, for a process that has one core.

A thread beside the loop can not run while the loop does there, and costs: 6.8 switches of threads a
request instead of .1, for the interpreter lock most of them, and 860 us of CPU outside the graphs
instead of 1,050 (medians of 50 slices in turn, quiet machine, 2026-11-21). The price: who hangs up
or has waited too long is noticed between two runs. Between any two the loop reads what came, or a
reply of the store that is there would be late behind others' runs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from service.errors import BudgetSpent
from service.inference.watchdog import Watchdog
from service.inference.worker import Bindable, Deadline

T = TypeVar("T")
_Turn = asyncio.Future[None]


class LoopWorker:
    """One run a turn of the loop, first in, first out; ended at its deadline from beside."""

    def __init__(self) -> None:
        self._watchdog = Watchdog()
        self._waiting: deque[_Turn] = deque()
        self._taken = False  # this turn of the loop, or the next one for the first who waits

    async def run(self, graphs: Bindable, job: Callable[[Any], T], deadline: Deadline) -> T:
        """The job's result, or BudgetSpent once the deadline has passed."""
        left_s = _left_s(deadline)
        waited = self._taken
        if waited:
            await self._take_turn(left_s)
        self._taken = True
        asyncio.get_running_loop().call_soon(self._pass_on)  # behind what came during this run
        if waited:
            left_s = _left_s(deadline)
        bound = graphs.bind()
        self._watchdog.guard(bound, left_s)
        try:
            return job(bound)
        finally:
            self._watchdog.release()

    def close(self) -> None:
        """End the watchdog's thread."""
        self._watchdog.close()

    async def _take_turn(self, left_s: float) -> None:
        loop = asyncio.get_running_loop()
        turn: _Turn = loop.create_future()
        timer = loop.call_later(left_s, _expire, turn)
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            given = turn.done() and not turn.cancelled() and turn.exception() is None
            if given:  # and not expired in the same turn of the loop
                loop.call_soon(self._pass_on)
            raise
        finally:
            timer.cancel()

    def _pass_on(self) -> None:
        """The next turn of the loop is the first one's who still waits, or free."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False


def _left_s(deadline: Deadline) -> float:
    left_s = deadline.left_s()
    if left_s <= 0:
        raise BudgetSpent(stage="model", left_ms=left_s * 1e3)
    return left_s


def _expire(turn: _Turn) -> None:
    if not turn.done():
        turn.set_exception(BudgetSpent(stage="model", left_ms=0.0))
