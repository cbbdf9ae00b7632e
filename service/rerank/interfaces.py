"""Protocols of the use case's adapters: user store, item table, graphs and graph executor.

Adapters satisfy them structurally. Knows neither Redis nor ONNX Runtime nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import UserRecord
from service.rerank.deadline import Deadline

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


class UserStore(Protocol):
    """Features of one user, in the schema that the store was opened for."""

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        """Return the user's record, or None for an unknown user.

        Makes one read without a retry and returns within `timeout_s` seconds. Otherwise raises
        `service.errors.FeaturesUnavailable` with fault "timeout", "down" (refused, reset, a wrong
        type) or "unreadable" (UserRecordError). Cancelling the call leaves the store usable.
        """
        ...

    async def ping(self, *, timeout_s: float) -> None:
        """Return once the store answers; raise FeaturesUnavailable after `timeout_s` seconds."""
        ...

    async def close(self) -> None:
        """Release all connections. No call may follow."""
        ...


class ItemSource(Protocol):
    """Source of a model's current item table. A request reads it once."""

    @property
    def table(self) -> ItemTable:
        """The current table."""
        ...


class Graphs(Protocol):
    """The neural networks of one artifact, called from the executor's thread.

    Array names and shapes: docs/reference/artifact.md. Each job calls `generate` before `evaluate`
    or `refine`, which reuse the request encoding that it computed.
    Every call raises `DeadlineExceeded` once the job is terminated.
    """

    def generate(self, arrays: Arrays, *, rules: bool) -> NDArray[np.int32]:
        """(B, K, M) candidate indices."""
        ...

    def evaluate(self, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """p_click and p_conversion, each (E, B, L, M).

        p_conversion is None for an artifact without conversions.
        """
        ...

    def refine(self, arrays: Arrays, *, rules: bool) -> NDArray[np.int32]:
        """(B, M) best neighbor of each list (`model/contract/scoring/local_search.py`)."""
        ...


class BoundGraphs(Graphs, Protocol):
    """Graphs of one job, whose runs can be terminated without affecting another job."""

    def terminate(self) -> None:
        """End the run in progress, from any thread. A later call raises DeadlineExceeded."""
        ...


class ArtifactGraphs(Protocol):
    """The graphs of one artifact, shared by all jobs."""

    def bind(self) -> BoundGraphs:
        """Return graphs for one job."""
        ...


class GraphExecutor(Protocol):
    """Runs jobs on graphs in the order of submission, outside the event loop's thread."""

    async def run(
        self, graphs: ArtifactGraphs, job: Callable[[Graphs], T], deadline: Deadline
    ) -> T:
        """Return the job's result, or raise DeadlineExceeded once the deadline has passed.

        A job that is cancelled or past its deadline before it starts never runs. A
        `BatchableSearch` may share graph runs with others of the same batch key.
        """
        ...
