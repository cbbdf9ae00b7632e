"""Several requests' searches, asked in one run of the graphs wherever they ask for the same.

A graph of a few hundred nodes spends half its time on what does not grow with the requests in it,
and the code between its runs finds the caches full of the request before: four at a time take
three quarters of the CPU of four (docs/experiments/profile-http-redis.md). Nobody
waits for company: these are
requests that wait anyway while another's run goes on. An answer is the same to the last bit,
whoever shares its runs (tests/service/test_together.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import EVALUATOR_GRAPH, GENERATOR_GRAPH, REFINER_GRAPH
from service.errors import DeadlineExceeded, InferenceFailed
from service.inference.graphs import OrtGraphs, OrtRun
from service.inference.jobs import Guard, Waiting
from service.telemetry import service_metrics

Arrays = dict[str, NDArray[Any]]
# without rules: requests that have some share with nobody
_GRAPHS = {"generate": GENERATOR_GRAPH, "evaluate": EVALUATOR_GRAPH, "refine": REFINER_GRAPH}
_SIZED_BY = {"generate": "noise_item", "evaluate": "lists", "refine": "at"}


@dataclass(slots=True, eq=False)
class _Member:
    """One search among others.

    asked: the call it waits for.
    told: what the generator's graph said beside the lists, of all who shared that run.
    row: our place in it.
    alone: a run that it shared failed, and who is to blame is not known yet.
    """

    waiting: Waiting
    steps: Any
    asked: Any = None
    told: Arrays = field(default_factory=dict)
    row: int = 0
    alone: bool = False
    ended: bool = False
    outcome: Any = None
    error: BaseException | None = None

    def send(self, answer: Any) -> None:  # noqa: ANN401  # as many kinds as calls
        """On to the next call, or to the end."""
        self._go(self.steps.send, answer)

    def throw(self, error: Exception) -> None:
        """The same, with what went wrong in place of an answer."""
        self._go(self.steps.throw, error)

    def _go(self, on: Callable[[Any], Any], given: object) -> None:
        try:
            self.asked = on(given)
        except StopIteration as end:
            self.ended, self.outcome = True, end.value
        except BaseException as raised:  # noqa: BLE001  # its caller gets it, the others go on
            self.ended, self.error = True, raised


def run_together(group: Sequence[Waiting], guard: Guard) -> list[tuple[Any, BaseException | None]]:
    """Each one's result or error, in their order; all are of one kind and share their graphs."""
    graphs: Any = group[0].graphs
    members = [_Member(waiting, waiting.job.steps) for waiting in group]  # type: ignore[attr-defined]
    for member in members:
        member.send(None)
    while going := [member for member in members if not member.ended]:
        _ask(graphs, _alike(going), guard)
    return [(member.outcome, member.error) for member in members]


def _alike(going: Sequence[_Member]) -> list[_Member]:
    """The first one, and all who ask for the same in the same sizes."""
    first = going[0]
    if first.alone:
        return [first]
    size = _size(first)
    return [member for member in going if not member.alone and _size(member) == size]


def _size(member: _Member) -> tuple[Any, ...]:
    asked = member.asked
    return asked.call, asked.arrays[_SIZED_BY[asked.call]].shape


def _ask(graphs: OrtGraphs, group: list[_Member], guard: Guard) -> None:
    """One run for all of them; who has no time left, or is gone, is told so instead."""
    run, left_s = graphs.bind(), min(member.waiting.deadline.left_s() for member in group)
    guard.guard(run, left_s)
    try:
        # asked behind the guard: whoever is gone from now on stops the run
        if left_s <= 0 or any(member.waiting.gone for member in group):
            return _end_late(group)
        answers = _answers(graphs, run, group)
    except DeadlineExceeded:
        return _end_late(group)
    except InferenceFailed as error:
        if len(group) == 1:
            return group[0].throw(error)
        for member in group:
            member.alone = True
        return None
    finally:
        guard.release()
    for member, answer in zip(group, answers, strict=True):
        member.send(answer)
    return None


def _end_late(group: Sequence[_Member]) -> None:
    """Whose time is over ends with what it has; the others are asked again without it."""
    left = {member: member.waiting.deadline.left_s() for member in group}
    late = [member for member in group if left[member] <= 0 or member.waiting.gone]
    for member in late or [min(group, key=left.__getitem__)]:
        member.throw(DeadlineExceeded(stage=member.asked.call, remaining_ms=left[member] * 1e3))


def _answers(graphs: OrtGraphs, run: OrtRun, group: Sequence[_Member]) -> list[Any]:
    asked, rows = group[0].asked, range(len(group))
    name = _GRAPHS[asked.call]
    made = run.outputs(name, _stacked(graphs, name, group), requests=len(group))
    if asked.call == "refine":
        return [made["stepped"][row : row + 1] for row in rows]
    if asked.call == "evaluate":
        clicks, conversions = made["p_click"], made.get("p_conversion")
        if conversions is None or not graphs.manifest.converts:
            return [(clicks[:, row : row + 1], None) for row in rows]
        return [(clicks[:, row : row + 1], conversions[:, row : row + 1]) for row in rows]
    service_metrics.BATCH_SIZE.observe(len(group))
    lists = made.pop("lists")
    for row, member in enumerate(group):
        member.told, member.row = made, row
    return [lists[row : row + 1] for row in rows]


def _stacked(graphs: OrtGraphs, name: str, group: Sequence[_Member]) -> Arrays:
    """All inputs of the graph with a row for each of the group."""
    axes, varying = graphs.batch_axes[name], graphs.history_axes[name]
    return {
        key: _told(group, key, axes[key])
        if key in group[0].told
        else joined([m.asked.arrays[key] for m in group], axes[key], varying.get(key))
        for key in graphs.inputs[name]
    }


def joined(arrays: Sequence[NDArray[Any]], axis: int, varying: int | None) -> NDArray[Any]:
    """One behind the other on the axis; where they vary on another, the shorter ones padded."""
    if varying is None or len({array.shape[varying] for array in arrays}) == 1:
        return np.concatenate(arrays, axis)
    shape = list(arrays[0].shape)
    shape[axis], shape[varying] = len(arrays), max(array.shape[varying] for array in arrays)
    padded = np.zeros(shape, arrays[0].dtype)  # row 0 and False: padding, as the encoder has it
    for place, array in enumerate(arrays):
        at: list[slice | int] = [slice(None)] * len(shape)
        at[axis], at[varying] = slice(place, place + 1), slice(array.shape[varying])
        padded[tuple(at)] = array
    return padded


def _told(group: Sequence[_Member], key: str, axis: int) -> NDArray[Any]:
    """What the generator's graph said of these, as it stands where the group is still whole."""
    told = group[0].told
    if any(member.told is not told for member in group):  # they asked for different sizes
        return np.concatenate([m.told[key].take([m.row], axis) for m in group], axis)
    if len(group) == told[key].shape[axis]:
        return told[key]
    return told[key].take([member.row for member in group], axis)
