"""Graphs on a thread beside the event loop, for a process with more than one core.

Whoever waits may be gone: a job whose caller left or whose deadline passed is never begun, and a
running one is stopped at its deadline while its caller is answered at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from service.inference.jobs import Bindable, Deadline, Waiting, left_s, sharing
from service.inference.together import run_together
from service.inference.watchdog import Stoppable

T = TypeVar("T")


class _SharedRun:
    """Stops whatever runs for several jobs; between two runs each is asked whether it is gone."""

    def __init__(self) -> None:
        self._now: Stoppable | None = None

    def guard(self, graphs: Stoppable, _: float) -> None:
        """These run from now on; the jobs' own timers stop them."""
        self._now = graphs

    def release(self) -> None:
        """Nothing runs."""
        self._now = None

    def stop(self) -> None:
        """End the run that is going on; safe from any thread."""
        now = self._now
        if now is not None:
            now.stop()


@dataclass(slots=True, eq=False, kw_only=True)
class _Job(Waiting):
    """One job. Its future and its timer belong to the loop's thread.

    bound: what stops its runs.
    """

    bound: Stoppable
    loop: asyncio.AbstractEventLoop

    def stop(self) -> None:
        """The deadline has passed: answer the caller, stop the run."""
        self.expire()
        self.bound.stop()

    def hand_over(self, result: object, error: BaseException | None) -> None:
        """From the worker's thread."""
        try:
            self.loop.call_soon_threadsafe(self.settle, result, error)
        except RuntimeError:  # the loop is closed: nobody waits
            return


class ThreadWorker:
    """One thread, first in, first out; jobs that wait together may share their runs.

    How many may wait is the admission's business.

    together: how many jobs may share a run.
    """

    def __init__(self, together: int = 1) -> None:
        self._together = together
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)
        self._thread.start()

    async def run(self, graphs: Bindable, job: Callable[[Any], T], deadline: Deadline) -> T:
        """The job's result, or DeadlineExceeded once the deadline has passed."""
        left, loop = left_s(deadline), asyncio.get_running_loop()
        future = loop.create_future()
        item = _Job(graphs, job, deadline, future, bound=graphs.bind(), loop=loop)
        timer = loop.call_later(left, item.stop)
        self._jobs.put(item)
        try:
            result: T = await future
        except asyncio.CancelledError:
            item.bound.stop()  # who shares the run is asked again without us, who are gone
            raise
        finally:
            timer.cancel()
        return result

    def close(self) -> None:
        """Let the job in hand end, then end the thread."""
        self._jobs.put(None)
        self._thread.join(timeout=5.0)

    def _serve(self) -> None:
        waiting: deque[_Job | None] = deque()
        while (first := self._next(waiting)) is not None:
            if not first.gone:
                self._work(first, waiting)

    def _next(self, waiting: deque[_Job | None]) -> _Job | None:
        """The first of all who are there; `waiting` has the others then. None: the end."""
        if not waiting:
            waiting.append(self._jobs.get())
        try:
            while True:
                waiting.append(self._jobs.get_nowait())
        except Empty:
            return waiting.popleft()

    def _work(self, first: _Job, waiting: deque[_Job | None]) -> None:
        present = [item for item in waiting if item is not None]
        others = sharing(first, present, self._together) if present else []
        if not others:
            first.hand_over(*_alone(first))
            return
        group, shared = [first, *others], _SharedRun()
        for item in group:
            item.bound = shared
        for item in others:
            waiting.remove(item)
        for item, ended in zip(group, run_together(group, shared), strict=True):
            item.hand_over(*ended)


def _alone(item: _Job) -> tuple[Any, BaseException | None]:
    try:
        return item.job(item.bound), None
    except BaseException as raised:  # noqa: BLE001  # the caller on the loop gets it
        return None, raised
