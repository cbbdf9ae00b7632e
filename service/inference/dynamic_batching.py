"""Dynamic batching: equal calls of several searches run as one graph run.

A graph of a few hundred nodes spends half of its time on work that does not grow with the batch:
four requests in one run take three quarters of the CPU time of four runs
(docs/experiments/profile-http-redis.md).
There is no delay window: only requests that wait for a run in progress form a batch. Each answer
is bit-identical to that of a run alone (tests/service/inference/test_dynamic_batching.py).
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
from service.inference.request_queue import (
    BatchEntry,
    JobOutcome,
    QueuedRequest,
    SearchBatch,
    Terminable,
)
from service.rerank.graph_calls import GraphCall, GraphCalls
from service.telemetry import service_metrics

_Arrays = dict[str, NDArray[Any]]
# graphs without rules; requests with rules run alone
_GRAPHS = {"generate": GENERATOR_GRAPH, "evaluate": EVALUATOR_GRAPH, "refine": REFINER_GRAPH}
_SIZING_INPUT = {"generate": "noise_item", "evaluate": "lists", "refine": "at"}


class BatchRun:
    """Terminates the graph run in progress of a batch, from any thread."""

    def __init__(self) -> None:
        self._current: Terminable | None = None

    def arm(self, run: Terminable) -> None:
        """Make `terminate` end this run."""
        self._current = run

    def disarm(self) -> None:
        """Make `terminate` do nothing, because no run is in progress."""
        self._current = None

    def terminate(self) -> None:
        """End the run in progress."""
        current = self._current
        if current is not None:
            current.terminate()


@dataclass(slots=True, eq=False)
class _Member:
    """One search of a batch.

    call: the call that it waits for, unless it has finished.
    generator_outputs: outputs of its generator run besides the lists, for all rows of that run.
    row: its row in that run.
    runs_alone: set when a shared run failed, to find the search that caused it.
    """

    request: QueuedRequest
    calls: GraphCalls[Any]
    call: GraphCall = field(init=False)
    generator_outputs: _Arrays = field(default_factory=dict)
    row: int = 0
    runs_alone: bool = False
    finished: bool = False
    outcome: JobOutcome = field(default_factory=JobOutcome)

    @classmethod
    def start(cls, entry: BatchEntry) -> _Member:
        """Advance the search to its first call."""
        member = cls(entry.request, entry.search.calls)
        member.send(None)
        return member

    def send(self, outputs: object) -> None:
        """Pass the call's outputs, and advance to the next call or to the end."""
        self._advance(self.calls.send, outputs)

    def throw(self, error: Exception) -> None:
        """Raise the error in place of the call's outputs, and advance likewise."""
        self._advance(self.calls.throw, error)

    def _advance(self, step: Callable[[Any], GraphCall], argument: object) -> None:
        try:
            self.call = step(argument)
        except StopIteration as end:
            self.finished, self.outcome = True, JobOutcome(end.value)
        except BaseException as raised:  # noqa: BLE001  # raised again in the caller's task
            self.finished, self.outcome = True, JobOutcome(error=raised)


def run_batch(batch: SearchBatch, run: BatchRun) -> list[JobOutcome]:
    """Run all searches of a batch and return their outcomes, in the batch's order."""
    members = [_Member.start(entry) for entry in batch.entries]
    while unfinished := [member for member in members if not member.finished]:
        _run_call(batch.graphs, _same_call(unfinished), run)
    return [member.outcome for member in members]


def _same_call(unfinished: Sequence[_Member]) -> list[_Member]:
    """The first member, and all others whose next call has the same method and sizes."""
    first = unfinished[0]
    if first.runs_alone:
        return [first]
    key = _call_key(first)
    return [m for m in unfinished if not m.runs_alone and _call_key(m) == key]


def _call_key(member: _Member) -> tuple[str, tuple[int, ...]]:
    call = member.call
    return call.method, call.arrays[_SIZING_INPUT[call.method]].shape


def _run_call(graphs: OrtGraphs, group: list[_Member], run: BatchRun) -> None:
    """Run the next call of all members of a group in one graph run.

    A member that is cancelled or past its deadline gets DeadlineExceeded instead.
    """
    bound = graphs.bind()
    run.arm(bound)
    try:
        # Checked after arming: a member that is cancelled from now on terminates the run.
        if any(m.request.deadline.left_s() <= 0 or m.request.cancelled for m in group):
            return _fail_late(group)
        outputs = _outputs_by_member(graphs, bound, group)
    except DeadlineExceeded:
        return _fail_late(group)
    except InferenceFailed as error:
        if len(group) == 1:
            return group[0].throw(error)
        for member in group:
            member.runs_alone = True
        return None
    finally:
        run.disarm()
    for member, own in zip(group, outputs, strict=True):
        member.send(own)
    return None


def _fail_late(group: Sequence[_Member]) -> None:
    """Raise DeadlineExceeded in late and cancelled members; the others run again without them."""
    left_s = {member: member.request.deadline.left_s() for member in group}
    late = [m for m in group if left_s[m] <= 0 or m.request.cancelled]
    for member in late or [min(group, key=left_s.__getitem__)]:
        error = DeadlineExceeded(stage=member.call.method, remaining_ms=left_s[member] * 1e3)
        member.throw(error)


def _outputs_by_member(graphs: OrtGraphs, bound: OrtRun, group: Sequence[_Member]) -> list[Any]:
    """Run the group's call and split its outputs, as `Graphs` returns them for B = 1."""
    method, rows = group[0].call.method, range(len(group))
    name = _GRAPHS[method]
    outputs = bound.run_graph(name, _batched_inputs(graphs, name, group), requests=len(group))
    if method == "refine":
        return [outputs["stepped"][row : row + 1] for row in rows]
    if method == "evaluate":
        clicks, conversions = outputs["p_click"], outputs.get("p_conversion")
        if conversions is None or not graphs.manifest.converts:
            return [(clicks[:, row : row + 1], None) for row in rows]
        return [(clicks[:, row : row + 1], conversions[:, row : row + 1]) for row in rows]
    service_metrics.BATCH_SIZE.observe(len(group))
    lists = outputs.pop("lists")
    for row, member in enumerate(group):
        member.generator_outputs, member.row = outputs, row
    return [lists[row : row + 1] for row in rows]


def _batched_inputs(graphs: OrtGraphs, name: str, group: Sequence[_Member]) -> _Arrays:
    """All inputs of the graph, with one row for each member."""
    batch_axes, history_axes = graphs.batch_axes[name], graphs.history_axes[name]
    return {
        key: _generator_outputs(group, key, batch_axes[key])
        if key in group[0].generator_outputs
        else concatenate_padded(
            [m.call.arrays[key] for m in group], batch_axes[key], history_axes.get(key)
        )
        for key in graphs.inputs[name]
    }


def concatenate_padded(
    arrays: Sequence[NDArray[Any]], axis: int, history_axis: int | None
) -> NDArray[Any]:
    """Concatenate along the axis, and zero-pad the history axis to the longest history."""
    if history_axis is None or len({array.shape[history_axis] for array in arrays}) == 1:
        return np.concatenate(arrays, axis)
    shape = list(arrays[0].shape)
    longest = max(array.shape[history_axis] for array in arrays)
    shape[axis], shape[history_axis] = len(arrays), longest
    padded = np.zeros(shape, arrays[0].dtype)  # row 0 and False: the encoder's padding
    for row, array in enumerate(arrays):
        index: list[slice | int] = [slice(None)] * len(shape)
        index[axis], index[history_axis] = slice(row, row + 1), slice(array.shape[history_axis])
        padded[tuple(index)] = array
    return padded


def _generator_outputs(group: Sequence[_Member], key: str, axis: int) -> NDArray[Any]:
    """The group's rows of one generator output, without a copy for an unchanged group."""
    outputs = group[0].generator_outputs
    if any(m.generator_outputs is not outputs for m in group):  # from several generator runs
        return np.concatenate([m.generator_outputs[key].take([m.row], axis) for m in group], axis)
    if len(group) == outputs[key].shape[axis]:
        return outputs[key]
    return outputs[key].take([member.row for member in group], axis)
