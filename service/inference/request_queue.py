"""Queued jobs of the executor, and the choice of queued searches that form a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from service.errors import DeadlineExceeded
from service.inference.graphs import OrtGraphs
from service.rerank.deadline import Deadline
from service.rerank.graph_calls import BatchableSearch
from service.rerank.interfaces import ArtifactGraphs, BoundGraphs, Graphs


class Terminable(Protocol):
    """Graph runs that another thread can end."""

    def terminate(self) -> None:
        """End the run in progress; harmless when none is."""
        ...


class JobOutcome(NamedTuple):
    """Result of a job, or the exception that it raised."""

    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """A job waiting for the executor's thread, or running on it.

    The future belongs to the event loop's thread.

    bound: the job's own graphs, with which it runs alone.
    run: what `time_out` terminates: `bound`, or the runs of the request's batch.
    """

    graphs: ArtifactGraphs
    job: Callable[[Graphs], Any]
    deadline: Deadline
    future: asyncio.Future[Any]
    bound: BoundGraphs
    run: Terminable = field(init=False)

    def __post_init__(self) -> None:
        self.run = self.bound

    @property
    def cancelled(self) -> bool:
        """Whether the caller no longer waits: cancelled, timed out or resolved."""
        return self.future.done()

    def time_out(self) -> None:
        """Fail the caller with DeadlineExceeded and terminate the job's graph run."""
        self.resolve(JobOutcome(error=DeadlineExceeded(stage="model", remaining_ms=0.0)))
        self.run.terminate()

    def resolve(self, outcome: JobOutcome) -> None:
        """Set the caller's result or exception, unless it no longer waits."""
        if self.future.done():
            return
        if outcome.error is None:
            self.future.set_result(outcome.result)
        else:
            self.future.set_exception(outcome.error)


def resolve_threadsafe(requests: Sequence[QueuedRequest], outcomes: Sequence[JobOutcome]) -> None:
    """Resolve requests of one event loop, from another thread, which wakes the loop once."""
    try:
        requests[0].future.get_loop().call_soon_threadsafe(_resolve_all, requests, outcomes)
    except RuntimeError:  # the loop is closed, so no caller is left
        return


def _resolve_all(requests: Sequence[QueuedRequest], outcomes: Sequence[JobOutcome]) -> None:
    for request, outcome in zip(requests, outcomes, strict=True):
        request.resolve(outcome)


class BatchEntry(NamedTuple):
    """One request of a batch."""

    request: QueuedRequest
    search: BatchableSearch[Any]


class SearchBatch(NamedTuple):
    """At least two searches on the same graphs, with inputs of equal sizes."""

    graphs: OrtGraphs
    entries: list[BatchEntry]


def select_batch(
    first: QueuedRequest, queued: Iterable[QueuedRequest], max_batch_size: int
) -> SearchBatch | None:
    """The batch of the first request and of queued ones; None when it runs alone.

    A queued request joins if it has the same batch key and graphs, and if the batch size
    allows every member to meet its deadline.
    """
    graphs, search = first.graphs, first.job
    if not isinstance(search, BatchableSearch) or search.batch_key is None:
        return None
    if not isinstance(graphs, OrtGraphs) or not graphs.batchable:
        return None
    limit = min(max_batch_size, search.max_batch_size)
    matching = _matching(graphs, search.batch_key, queued, limit - 1)
    size = 1 + len(matching)
    if size == 1 or not search.meets_deadline_at(size):
        return None
    joining = [
        entry
        for entry in matching
        if size <= entry.search.max_batch_size and entry.search.meets_deadline_at(size)
    ]
    if not joining:
        return None
    batch = SearchBatch(graphs, [BatchEntry(first, search), *joining])
    for entry in batch.entries:
        entry.search.set_batch_size(len(batch.entries))
    return batch


def _matching(
    graphs: OrtGraphs, batch_key: Hashable, queued: Iterable[QueuedRequest], limit: int
) -> list[BatchEntry]:
    """At most `limit` queued requests with these graphs and this batch key, in queue order."""
    matching: list[BatchEntry] = []
    for request in queued:
        if len(matching) >= limit:
            break
        search = request.job
        if request.graphs is not graphs or not isinstance(search, BatchableSearch):
            continue
        if search.batch_key == batch_key and not request.cancelled:
            matching.append(BatchEntry(request, search))
    return matching
