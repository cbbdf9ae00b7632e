"""ONNX Runtime sessions of one artifact, and runs that a deadline can terminate.

Knows the graphs' names and inputs, but not requests.
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
from service.rerank.interfaces import Arrays
from service.telemetry import service_metrics

# ONNX Runtime's exceptions have no base class of their own.
ORT_ERRORS: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(ort_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)
BATCH_AXIS, HISTORY_AXIS = "B", "H"  # names of dynamic axes in the exported graphs
# This fusion makes these graphs 25 % slower (docs/experiments/first-speed-measurements.md).
_DISABLED_OPTIMIZERS = ["SkipLayerNormFusion"]


def open_session(
    model: Path | bytes, weights: Mapping[str, ort.OrtValue] | None = None
) -> ort.InferenceSession:
    """A session on one thread that does not spin between runs; raises one of ORT_ERRORS.

    Args:
        model: a file, which the runtime copies once less than bytes, or the file's bytes.
        weights: initializers that the session reads in place instead of copying them.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, and logged by the service
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    _register_shared_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    in_place = dict(weights or {})
    for name, value in in_place.items():
        options.add_initializer(name, value)
    session = ort.InferenceSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_DISABLED_OPTIMIZERS,
    )
    # The runtime keeps only pointers to these values: they have to live as long as the session.
    session.in_place_weights = in_place
    return session


@cache
def _register_shared_arena() -> None:
    """Make all sessions of the process allocate from one arena; call it before the first session.

    Otherwise each session keeps an arena as large as its largest run, while runs rarely overlap.
    """
    kind = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = ort.OrtMemoryInfo("Cpu", kind, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(0, -1, -1, -1))  # default sizes


class OrtGraphs:
    """The sessions of one artifact, shared by all jobs; `bind` returns the graphs of one job.

    batchable: whether several requests may share a run; set by verification.
    """

    def __init__(
        self,
        manifest: Manifest,
        sessions: Mapping[str, ort.InferenceSession],
        role: service_metrics.ArtifactRole | None = None,
    ) -> None:
        self.manifest, self.role, self.batchable = manifest, role, False
        self.sessions = dict(sessions)
        self.inputs = {
            name: [i.name for i in session.get_inputs()] for name, session in sessions.items()
        }
        self.batch_axes = {name: _axes(own, BATCH_AXIS) for name, own in sessions.items()}
        self.history_axes = {name: _axes(own, HISTORY_AXIS) for name, own in sessions.items()}
        self.outputs = {
            name: [o.name for o in session.get_outputs()] for name, session in sessions.items()
        }

    def with_role(self, role: service_metrics.ArtifactRole) -> OrtGraphs:
        """The same sessions, whose runs are recorded in the metrics of this role.

        Without a role, as in verification and warm-up, runs are not recorded.
        """
        graphs = OrtGraphs(self.manifest, self.sessions, role)
        graphs.batchable = self.batchable
        return graphs

    def bind(self) -> OrtRun:
        """Graphs of one job, which can be terminated without affecting another job."""
        return OrtRun(self)


def _axes(session: ort.InferenceSession, letter: str) -> dict[str, int]:
    """Index of the dynamic axis in each input and output that has it."""
    return {
        tensor.name: tensor.shape.index(letter)
        for tensor in [*session.get_inputs(), *session.get_outputs()]
        if letter in tensor.shape
    }


class OrtRun:
    """The graphs of one job. `generate` comes first: its other outputs are inputs of later runs."""

    def __init__(self, graphs: OrtGraphs) -> None:
        self._graphs = graphs
        self._options = ort.RunOptions()
        self._options.log_severity_level = 4
        self._terminated = False
        self._generator_outputs: Arrays = {}

    def generate(self, arrays: Arrays, *, rules: bool) -> NDArray[np.int32]:
        """(B, K, M) candidate indices."""
        outputs = self.run_graph(GENERATOR_RULES_GRAPH if rules else GENERATOR_GRAPH, arrays)
        lists = outputs.pop("lists")
        self._generator_outputs = outputs
        return np.asarray(lists)

    def evaluate(self, arrays: Arrays) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """p_click and p_conversion, each (E, B, L, M)."""
        p_click, p_conversion = self._run(EVALUATOR_GRAPH, {**arrays, **self._generator_outputs})[
            :2
        ]
        return p_click, p_conversion if self._graphs.manifest.converts else None

    def refine(self, arrays: Arrays, *, rules: bool) -> NDArray[np.int32]:
        """(B, M) best neighbor of each list."""
        name = REFINER_RULES_GRAPH if rules else REFINER_GRAPH
        return np.asarray(self._run(name, {**arrays, **self._generator_outputs})[0])

    def run_graph(self, name: str, arrays: Arrays, *, requests: int = 1) -> dict[str, NDArray[Any]]:
        """All outputs of a graph by name.

        Args:
            name: the graph.
            arrays: its inputs by name.
            requests: number of requests in the run; each is recorded with its share of the time.
        """
        outputs = self._run(name, arrays, requests)
        return dict(zip(self._graphs.outputs[name], outputs, strict=True))

    def terminate(self) -> None:
        """End the run in progress between two nodes, from any thread; later runs fail."""
        self._terminated = True
        self._options.terminate = True

    def _run(self, name: str, arrays: Arrays, requests: int = 1) -> list[NDArray[Any]]:
        if self._terminated:
            raise DeadlineExceeded(stage=name, remaining_ms=0.0)
        session = self._graphs.sessions[name]
        try:
            feeds = {key: arrays[key] for key in self._graphs.inputs[name]}
        except KeyError as error:
            raise InferenceFailed(graph=name, reason=f"input {error} is missing") from error
        started = time.perf_counter()
        try:
            outputs: list[NDArray[Any]] = session.run(
                self._graphs.outputs[name], feeds, self._options
            )
        except ORT_ERRORS as error:
            if self._terminated:
                raise DeadlineExceeded(stage=name, remaining_ms=0.0) from error
            raise InferenceFailed(graph=name, reason=str(error)) from error
        finally:
            self._record(name, time.perf_counter() - started, requests)
        return outputs

    def _record(self, name: str, seconds: float, requests: int) -> None:
        role = self._graphs.role
        if role is None:
            return
        histogram = service_metrics.GRAPH_SECONDS.series[role, name]
        for _ in range(requests):
            histogram.observe(seconds / requests)
