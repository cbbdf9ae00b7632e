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

from service.errors import DeadlineExceeded
from service.inference.jobs import Bindable, Deadline, Waiting, left_s, sharing
from service.inference.together import run_together
from service.inference.watchdog import Watchdog

T = TypeVar("T")


class LoopWorker:
    """A turn of the loop for each job, first in, first out, or for several that share their runs.

    Even who finds nobody waiting waits for two turns of the loop: what came with its reply of the
    store is read by then, and shares the run instead of waiting for it (1,440 requests/s of four
    connections, 1,180 with one turn, 990 alone; loadtest/PROFILE.md).

    together: how many jobs may share a run.
    """

    def __init__(self, together: int = 1) -> None:
        self._watchdog = Watchdog()
        self._waiting: deque[Waiting] = deque()
        self._together = together
        self._awake = False  # whether the next turn of the loop is ours

    async def run(self, graphs: Bindable, job: Callable[[Any], T], deadline: Deadline) -> T:
        """The job's result, or DeadlineExceeded once the deadline has passed."""
        left = left_s(deadline)
        loop = asyncio.get_running_loop()
        mine = Waiting(graphs, job, deadline, loop.create_future())
        timer = loop.call_later(left, mine.expire)
        self._waiting.append(mine)
        if not self._awake:
            self._awake = True
            loop.call_soon(loop.call_soon, self._turn)
        try:
            result: T = await mine.future
        finally:
            timer.cancel()
        return result

    def close(self) -> None:
        """End the watchdog's thread."""
        self._watchdog.close()

    def _turn(self) -> None:
        """Run the first who still waits, and all who may share its runs."""
        while self._waiting and self._waiting[0].gone:
            self._waiting.popleft()
        if not self._waiting:
            self._awake = False
            return
        try:
            self._serve(self._waiting.popleft())
        finally:
            asyncio.get_running_loop().call_soon(self._turn)  # behind what came meanwhile

    def _serve(self, first: Waiting) -> None:
        others = sharing(first, self._waiting, self._together) if self._waiting else []
        if not others:
            first.settle(*self._alone(first))
            return
        for other in others:
            self._waiting.remove(other)
        group = [first, *others]
        for waiting, ended in zip(group, run_together(group, self._watchdog), strict=True):
            waiting.settle(*ended)

    def _alone(self, first: Waiting) -> tuple[Any, BaseException | None]:
        try:
            left, bound = left_s(first.deadline), first.graphs.bind()
        except DeadlineExceeded as error:
            return None, error
        self._watchdog.guard(bound, left)
        try:
            return first.job(bound), None
        except BaseException as raised:  # noqa: BLE001  # the caller gets it, the loop goes on
            return None, raised
        finally:
            self._watchdog.release()
