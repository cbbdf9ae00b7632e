"""ONNX Runtime sessions of one artifact, and runs that a deadline can end.

Knows the graphs' names and inputs, not what a request is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    GENERATOR_GRAPH,
    GENERATOR_RULES_GRAPH,
    REFINER_GRAPH,
    REFINER_RULES_GRAPH,
    Manifest,
)
from service.errors import DeadlineExceeded, InferenceFailed
from service.inference.session import DirectSession
from service.telemetry import service_metrics

Arrays = Mapping[str, NDArray[Any]]

# ONNX Runtime's errors share no base class of their own.
ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(ort_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
BATCH_AXIS, HISTORY_AXIS = "B", "H"  # as export names them in the graphs
# This fusion makes these graphs a quarter slower (docs/experiments/first-speed-measurements.md).
_DISABLED_OPTIMIZERS = ["SkipLayerNormFusion"]


def open_session(
    model: Path | bytes, tables: Mapping[str, ort.OrtValue] | None = None
) -> DirectSession:
    """One session on one thread that does not spin between runs; raises one of ORT_ERRORS.

    Args:
        model: a file, which is copied half as often as bytes are, or its bytes.
        tables: weights that the session reads where they are instead of copying them.
    """
    borrowed = dict(tables or {})
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised and logged by us
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    _share_working_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    for name, value in borrowed.items():
        options.add_initializer(name, value)
    session = DirectSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_DISABLED_OPTIMIZERS,
    )
    session.borrowed = borrowed  # the runtime holds bare pointers: what they point at lives as long
    return session


@cache
def _share_working_memory() -> None:
    """All sessions of the process compute in one arena, made before the first of them.

    Each would keep one of its own, as large as its largest run; hardly ever do two run at once.
    """
    kind = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    place = ort.OrtMemoryInfo("Cpu", kind, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg(0, -1, -1, -1))  # sizes: its defaults


class OrtGraphs:
    """The sessions of one artifact. Shared by all runs; `bind` gives what one job uses.

    shares: whether requests may share runs of them, which is for verification to say.
    """

    def __init__(
        self,
        manifest: Manifest,
        sessions: Mapping[str, DirectSession],
        role: service_metrics.ArtifactRole | None = None,
    ) -> None:
        self.manifest, self.role, self.shares = manifest, role, False
        self.sessions = dict(sessions)
        self.inputs = {
            name: [i.name for i in session.get_inputs()] for name, session in sessions.items()
        }
        self.batch_axes = {name: _axes(own, BATCH_AXIS) for name, own in sessions.items()}
        self.history_axes = {name: _axes(own, HISTORY_AXIS) for name, own in sessions.items()}
        self.outputs = {
            name: [o.name for o in session.get_outputs()] for name, session in sessions.items()
        }

    def counted_as(self, role: service_metrics.ArtifactRole) -> OrtGraphs:
        """The same sessions, their runs timed as those of this role.

        Before that (verification, warm-up) they are not: those runs are no request's.
        """
        counted = OrtGraphs(self.manifest, self.sessions, role)
        counted.shares = self.shares
        return counted

    def bind(self) -> OrtRun:
        """Graphs of one job, which can be stopped without touching another's."""
        return OrtRun(self)


def _axes(session: DirectSession, letter: str) -> dict[str, int]:
    """Of each input and output that has this dynamic axis: which of its axes that is."""
    return {
        tensor.name: tensor.shape.index(letter)
        for tensor in [*session.get_inputs(), *session.get_outputs()]
        if letter in tensor.shape
    }


class OrtRun:
    """The graphs for the length of one job: lists are judged of the request they were made for.

    What the generator's graph says beside the lists is an input of the others.
    """

    def __init__(self, graphs: OrtGraphs) -> None:
        self._graphs = graphs
        self._options = ort.RunOptions()
        self._options.log_severity_level = 4
        self._stopped = False
        self._known: Arrays = {}

    def generate(self, arrays: Arrays, *, rules: bool) -> NDArray[np.int32]:
        """(B, K, M) places in the candidates."""
        made = self.outputs(GENERATOR_RULES_GRAPH if rules else GENERATOR_GRAPH, arrays)
        lists = made.pop("lists")
        self._known = made
        return np.asarray(lists)

    def evaluate(self, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """p_click and p_conversion, each (E, B, L, M)."""
        p_click, p_conversion = self._run(EVALUATOR_GRAPH, {**arrays, **self._known})[:2]
        return p_click, p_conversion if self._graphs.manifest.converts else None

    def refine(self, arrays: Arrays, *, rules: bool) -> NDArray[np.int32]:
        """(B, M) lists one step on."""
        name = REFINER_RULES_GRAPH if rules else REFINER_GRAPH
        return np.asarray(self._run(name, {**arrays, **self._known})[0])

    def outputs(self, name: str, arrays: Arrays, *, requests: int = 1) -> dict[str, NDArray[Any]]:
        """All that this graph says, by name.

        requests: how many share the run; its time is counted for each of them by its share.
        """
        return dict(zip(self._graphs.outputs[name], self._run(name, arrays, requests), strict=True))

    def stop(self) -> None:
        """End the run that is going on, between two nodes; safe from any thread."""
        self._stopped = True
        self._options.terminate = True

    def _run(self, name: str, arrays: Arrays, requests: int = 1) -> list[NDArray[Any]]:
        if self._stopped:
            raise DeadlineExceeded(stage=name, remaining_ms=0.0)
        session = self._graphs.sessions[name]
        try:
            feeds = {key: arrays[key] for key in self._graphs.inputs[name]}
        except KeyError as error:
            raise InferenceFailed(
                graph=name, reason=f"nothing was given for input {error}"
            ) from error
        began = time.perf_counter()
        try:
            return session.run(self._graphs.outputs[name], feeds, self._options)
        except ORT_ERRORS as error:
            if self._stopped:
                raise DeadlineExceeded(stage=name, remaining_ms=0.0) from error
            raise InferenceFailed(graph=name, reason=str(error)) from error
        finally:
            role = self._graphs.role
            if role is not None:
                spent_s, series = time.perf_counter() - began, service_metrics.GRAPH_SECONDS.series
                for _ in range(requests):
                    series[role, name].observe(spent_s / requests)
