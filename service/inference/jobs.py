"""What waits for the graphs, and who of those may be asked together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from service.errors import DeadlineExceeded
from service.inference.watchdog import Stoppable


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


class Shareable(Protocol):
    """A job that may share runs of the graphs with others of its kind; called, it runs alone.

    kind: equal for those whose inputs have the same sizes; None shares with nobody.
    most: how many a run may be of, for the sizes of this one.
    steps: a generator of calls of the graphs, which is sent their answers (`together.py`).
    """

    kind: Hashable | None
    most: int
    steps: Any

    def joins(self, jobs: int) -> bool:
        """Whether its time holds runs of so many jobs."""
        ...

    def share(self, jobs: int) -> None:
        """Told of how many jobs its runs will be."""
        ...


@dataclass(slots=True, eq=False)
class Waiting:
    """A job on its way to the graphs; its future is settled exactly once."""

    graphs: Bindable
    job: Callable[[Any], Any]
    deadline: Deadline
    future: asyncio.Future[Any]

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done()

    def expire(self) -> None:
        """The deadline has passed: answer the caller."""
        self.settle(None, DeadlineExceeded(stage="model", remaining_ms=0.0))

    def settle(self, result: object, error: BaseException | None) -> None:
        """Hand over what came of it, unless nobody waits any more."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


W = TypeVar("W", bound=Waiting)


def sharing(first: W, others: Iterable[W], most: int) -> list[W]:
    """Who of the others is asked together with the first: of its kind, each with time for it."""
    kind = _kind(first)
    if kind is None:
        return []
    job: Any = first.job
    most = min(most, job.most)
    found: list[W] = []
    for other in others:
        if len(found) + 1 >= most:
            break
        if other.graphs is first.graphs and _kind(other) == kind and not other.gone:
            found.append(other)
    size = len(found) + 1
    if not found or not _joins(first, size):
        return []
    group: list[Any] = [first, *(other for other in found if _joins(other, size))]
    if len(group) > 1:
        for waiting in group:
            waiting.job.share(len(group))
    return group[1:]


def left_s(deadline: Deadline) -> float:
    """Seconds left; raises DeadlineExceeded where there are none."""
    left = deadline.left_s()
    if left <= 0:
        raise DeadlineExceeded(stage="model", remaining_ms=left * 1e3)
    return left


def _kind(waiting: Waiting) -> Hashable | None:
    if not getattr(waiting.graphs, "shares", False):
        return None
    kind: Hashable | None = getattr(waiting.job, "kind", None)
    return kind


def _joins(waiting: Waiting, jobs: int) -> bool:
    job: Any = waiting.job
    return jobs <= job.most and bool(job.joins(jobs))


class Guard(Protocol):
    """Ends a run that goes on too long."""

    def guard(self, graphs: Stoppable, left_s: float) -> None:
        """From now on, of these graphs."""
        ...

    def release(self) -> None:
        """The run is over."""
        ...
