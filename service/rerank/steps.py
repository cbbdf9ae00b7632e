"""A search as steps: it yields what it asks of the graphs and is sent the answer.

Whoever drives it decides with whom it is asked: alone (`has_replied`), or in one run of the graphs
with other requests' searches (`service/inference/together.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from service.errors import DeadlineExceeded, InferenceFailed
from service.rerank.ports import Arrays, Graphs

T = TypeVar("T")
Call = Literal["generate", "evaluate", "refine"]


class Ask(NamedTuple):
    """One call of `Graphs`, with B = 1."""

    call: Call
    arrays: Arrays
    rules: bool = False


Steps = Generator[Ask, Any, T]


def answered(graphs: Graphs, steps: Steps[T]) -> T:
    """What the steps come to, asked one by one; what the graphs raise is raised inside them."""
    try:
        asked = next(steps)
        while True:
            try:
                answer = _call(graphs, asked)
            except (DeadlineExceeded, InferenceFailed) as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(answer)
    except StopIteration as end:
        found: T = end.value
        return found


@dataclass(slots=True)
class Job(Generic[T]):
    """Steps on their way to the graphs: run alone by a call, or together with jobs of its kind.

    kind: jobs of one kind may share runs of the graphs: same sizes; None shares with nobody.
    most: how many jobs of this kind a run holds before it is too large for the caches.
    joins: told of how many jobs a run would consist, whether the time left holds that.
    share: told of how many they do, counts what the runs take as shared by so many.
    """

    steps: Steps[T]
    kind: Hashable | None
    most: int
    joins: Callable[[int], bool]
    share: Callable[[int], None]

    def __call__(self, graphs: Graphs) -> T:
        """Alone."""
        return answered(graphs, self.steps)


def _call(graphs: Graphs, asked: Ask) -> Any:  # noqa: ANN401  # as many kinds as calls
    if asked.call == "generate":
        return graphs.generate(asked.arrays, rules=asked.rules)
    if asked.call == "evaluate":
        return graphs.evaluate(asked.arrays)
    return graphs.refine(asked.arrays, rules=asked.rules)
