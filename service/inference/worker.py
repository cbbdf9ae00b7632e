"""Graphs on a thread beside the event loop, for a process with more than one core.

Whoever waits may be gone: a job whose caller left or whose deadline passed is never begun, and a
running one is stopped at its deadline while its caller is answered at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from service.errors import BudgetSpent
from service.inference.watchdog import Stoppable

T = TypeVar("T")


class Deadline(Protocol):
    """What a worker needs of a deadline."""

    def left_s(self) -> float:
        """Seconds left."""
        ...


class Bindable(Protocol):
    """Graphs that give each job its own stoppable view."""

    def bind(self) -> Any:  # noqa: ANN401  # the view's type is the caller's
        """The view."""
        ...


class _Job:
    """One call on its way through the thread; settled exactly once, on the loop's thread."""

    def __init__(self, bound: Stoppable, call: Callable[[], Any], deadline: Deadline) -> None:
        self.bound, self.call, self.deadline = bound, call, deadline
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def expire(self) -> None:
        """The deadline has passed: answer the caller, stop the run."""
        self.bound.stop()
        if not self.future.done():
            self.future.set_exception(BudgetSpent(stage="model", left_ms=0.0))

    def work(self) -> None:
        """On the worker's thread: run and hand the outcome to the loop."""
        if self.future.done():
            return
        result: Any = None
        error: BaseException | None = None
        try:
            result = self.call()
        except BaseException as raised:  # noqa: BLE001  # the caller on the loop gets it
            error = raised
        try:
            self.loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:  # the loop is closed: nobody waits
            return

    def _settle(self, result: object, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class ThreadWorker:
    """One thread, first in, first out. How many may wait is the admission's business."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)
        self._thread.start()

    async def run(self, graphs: Bindable, job: Callable[[Any], T], deadline: Deadline) -> T:
        """The job's result, or BudgetSpent once the deadline has passed."""
        left_s = deadline.left_s()
        if left_s <= 0:
            raise BudgetSpent(stage="model", left_ms=left_s * 1e3)
        bound = graphs.bind()
        item = _Job(bound, lambda: job(bound), deadline)
        timer = item.loop.call_later(left_s, item.expire)
        self._jobs.put(item)
        try:
            result: T = await item.future
        except asyncio.CancelledError:
            bound.stop()
            raise
        finally:
            timer.cancel()
        return result

    def close(self) -> None:
        """Let the job in hand end, then end the thread."""
        self._jobs.put(None)
        self._thread.join(timeout=5.0)

    def _serve(self) -> None:
        while (item := self._jobs.get()) is not None:
            item.work()
