"""A search as a generator of graph calls: it yields a call and receives the graph's outputs.

The driver decides how calls run: one by one (`run_sequentially`), or in one graph run together
with the calls of other requests (`service/inference/dynamic_batching.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from service.errors import DeadlineExceeded, InferenceFailed
from service.rerank.interfaces import Arrays, Graphs

T = TypeVar("T")


class GraphCall(NamedTuple):
    """One call of a method of `Graphs`, with B = 1."""

    method: Literal["generate", "evaluate", "refine"]
    arrays: Arrays
    rules: bool = False


# The sent type is Any because it depends on the call's method, as in `Graphs`.
GraphCalls = Generator[GraphCall, Any, T]


def run_sequentially(graphs: Graphs, calls: GraphCalls[T]) -> T:
    """Run the calls one by one and return the generator's result.

    Raises DeadlineExceeded and InferenceFailed inside the generator, which may handle them.
    """
    try:
        call = next(calls)
        while True:
            try:
                outputs = _run_call(graphs, call)
            except (DeadlineExceeded, InferenceFailed) as error:
                call = calls.throw(error)
            else:
                call = calls.send(outputs)
    except StopIteration as end:
        result: T = end.value
        return result


@dataclass(slots=True)
class BatchableSearch(Generic[T]):
    """A job for a `GraphExecutor` that may share graph runs with other searches.

    batch_key: searches with equal keys have inputs of equal sizes; None forbids batching.
    max_batch_size: most searches of this size in one run, so that it stays in the CPU caches.
    meets_deadline_at: whether this search ends in time in a batch of the given size.
    set_batch_size: called before a batch runs, so that latency estimates use its size.
    """

    calls: GraphCalls[T]
    batch_key: Hashable | None
    max_batch_size: int
    meets_deadline_at: Callable[[int], bool]
    set_batch_size: Callable[[int], None]

    def __call__(self, graphs: Graphs) -> T:
        """Run the search alone."""
        return run_sequentially(graphs, self.calls)


def _run_call(graphs: Graphs, call: GraphCall) -> Any:  # noqa: ANN401  # depends on the method
    if call.method == "generate":
        return graphs.generate(call.arrays, rules=call.rules)
    if call.method == "evaluate":
        return graphs.evaluate(call.arrays)
    return graphs.refine(call.arrays, rules=call.rules)
