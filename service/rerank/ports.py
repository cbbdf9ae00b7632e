"""What the use case needs from the outside, as protocols. Adapters satisfy them by shape.

Knows neither Redis nor ONNX Runtime nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import Manifest
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import UserRecord
from service.rerank.deadline import Deadline

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


class UserStore(Protocol):
    """Features of one user, by the schema that the store was opened for."""

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        """One user, None for one that the store has never seen.

        One read, no retry, done within `timeout_s` (seconds); else raises
        `service.errors.FeaturesUnavailable` with fault "timeout", "down" (refused, reset, a wrong
        type) or "unreadable" (UserRecordError). Cancelling the call leaves the store usable.
        """
        ...

    async def ping(self, *, timeout_s: float) -> None:
        """Return when the store answers within `timeout_s`, else raise FeaturesUnavailable."""
        ...

    async def close(self) -> None:
        """Give back connections; no call follows."""
        ...


class ItemSource(Protocol):
    """Where the current item table of a model is read from; a request reads it once."""

    @property
    def table(self) -> ItemTable:
        """The table as of now."""
        ...


class ItemHolder:
    """Holds the item table; a background refresher swaps the whole table between two requests."""

    def __init__(self, table: ItemTable) -> None:
        self._table = table

    @property
    def table(self) -> ItemTable:
        """The table as of now."""
        return self._table

    def swap(self, table: ItemTable) -> None:
        """Put a table of the same columns in place of the present one."""
        if table.rows.shape[1:] != self._table.rows.shape[1:]:
            raise ValueError(
                f"item rows of {table.rows.shape[1:]} do not fit {self._table.rows.shape[1:]}"
            )
        self._table = table


class Graphs(Protocol):
    """The nets of one artifact; called on the worker, never on the event loop's thread.

    Array names and shapes are in docs/reference/artifact.md, with B = 1. A job generates
    before it evaluates or refines: what is computed of the request is kept from one to the other.
    All calls raise `DeadlineExceeded` when the deadline of the job ends them.
    """

    def generate(self, arrays: Arrays, *, rules: bool) -> NDArray[np.int32]:
        """(B, K, M) places in the candidates."""
        ...

    def evaluate(self, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """p_click and p_conversion (None when untrained), each (E, B, L, M)."""
        ...

    def refine(self, arrays: Arrays, *, rules: bool) -> NDArray[np.int32]:
        """(B, M) lists one step on (`model/contract/scoring/local_search.py`), of artifacts that have steps."""
        ...


class Worker(Protocol):
    """Runs jobs one after the other, off the event loop when it can."""

    async def run(
        self, graphs: RunnableGraphs, job: Callable[[Graphs], T], deadline: Deadline
    ) -> T:
        """The job's result, or DeadlineExceeded once the deadline has passed, whatever the job does.

        A job whose caller is gone or whose deadline has passed before its turn is never begun.
        """
        ...


class RunnableGraphs(Protocol):
    """Graphs that can be bound to one run, so that a deadline may end that run alone."""

    manifest: Manifest

    def bind(self) -> BoundGraphs:
        """Graphs whose runs `stop_on_no_change` ends."""
        ...


class BoundGraphs(Graphs, Protocol):
    """Graphs of one job."""

    def stop(self) -> None:
        """End a run that is going on, from any thread; a later call raises DeadlineExceeded."""
        ...
