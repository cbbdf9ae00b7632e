"""Executor on the caller's thread, for measurements of one thread's time and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from service.rerank.deadline import Deadline
from service.rerank.interfaces import ArtifactGraphs, Graphs

T = TypeVar("T")


class InlineExecutor:
    """An executor without a thread; it terminates no run at its deadline and batches nothing."""

    async def run(
        self, graphs: ArtifactGraphs, job: Callable[[Graphs], T], deadline: Deadline
    ) -> T:
        """Run the job at once."""
        return job(graphs.bind())
