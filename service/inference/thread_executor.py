"""Runs graphs on one thread, so that the event loop stays free for deadlines and probes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from service.errors import DeadlineExceeded
from service.inference.dynamic_batching import BatchRun, run_batch
from service.inference.request_queue import (
    JobOutcome,
    QueuedRequest,
    resolve_threadsafe,
    select_batch,
)
from service.rerank.deadline import Deadline
from service.rerank.interfaces import ArtifactGraphs, Graphs

T = TypeVar("T")


class ThreadExecutor:
    """Runs jobs first in, first out on one thread, and batches searches that wait together.

    Jobs reach the thread two turns of the event loop after the first of them: requests whose
    records came in the same reply of the store then share a run instead of waiting for it.
    The queue has no limit of its own: concurrency is limited where requests arrive.

    max_batch_size: most searches in one graph run; 1 disables batching.
    """

    def __init__(self, max_batch_size: int = 1) -> None:
        self._max_batch_size = max_batch_size
        self._gathered: list[QueuedRequest] = []  # not yet submitted
        self._submitted: SimpleQueue[list[QueuedRequest] | None] = SimpleQueue()  # None: the end
        self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)
        self._thread.start()

    async def run(
        self, graphs: ArtifactGraphs, job: Callable[[Graphs], T], deadline: Deadline
    ) -> T:
        """Return the job's result, or raise DeadlineExceeded once the deadline has passed.

        A job whose caller is cancelled or whose deadline has passed never starts. A running job is
        terminated at its deadline, and its caller is answered at once.
        """
        left_s = deadline.left_s()
        if left_s <= 0:
            raise DeadlineExceeded(stage="model", remaining_ms=left_s * 1e3)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        request = QueuedRequest(graphs, job, deadline, future, graphs.bind())
        timer = loop.call_later(left_s, request.time_out)
        self._gathered.append(request)
        if len(self._gathered) == 1:
            loop.call_soon(loop.call_soon, self._submit)
        try:
            return await future
        except asyncio.CancelledError:
            request.run.terminate()  # other members of its batch run again without it
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the thread after the job in progress."""
        self._submitted.put(None)
        self._thread.join(timeout=5.0)

    def _submit(self) -> None:
        """Hand the gathered jobs to the thread."""
        self._submitted.put(self._gathered)
        self._gathered = []

    def _serve(self) -> None:
        pending: deque[QueuedRequest | None] = deque()
        while self._serve_next(pending):
            pass

    def _serve_next(self, pending: deque[QueuedRequest | None]) -> bool:
        """Run the next job, with its batch; return False at the end.

        A separate function, so that the thread keeps no job and no artifact alive while it waits.
        """
        first = self._next(pending)
        if first is None:
            return False
        if first.cancelled:
            return True
        queued = [request for request in pending if request is not None]
        batch = select_batch(first, queued, self._max_batch_size) if queued else None
        if batch is None:
            resolve_threadsafe([first], [_run_alone(first)])
            return True
        run = BatchRun()
        for entry in batch.entries:
            entry.request.run = run
        for entry in batch.entries[1:]:
            pending.remove(entry.request)
        resolve_threadsafe([entry.request for entry in batch.entries], run_batch(batch, run))
        return True

    def _next(self, pending: deque[QueuedRequest | None]) -> QueuedRequest | None:
        """Wait for a job, move all submitted ones to `pending`, and take the first."""
        if not pending:
            pending.extend(self._submitted.get() or [None])
        try:
            while True:
                pending.extend(self._submitted.get_nowait() or [None])
        except Empty:
            return pending.popleft()


def _run_alone(request: QueuedRequest) -> JobOutcome:
    try:
        return JobOutcome(request.job(request.bound))
    except BaseException as raised:  # noqa: BLE001  # raised again in the caller's task
        return JobOutcome(error=raised)
