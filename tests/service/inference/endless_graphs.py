"""Graphs whose run takes minutes unless it is terminated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model.contract.artifact.manifest import GENERATOR_GRAPH, REFINER_GRAPH
from service.inference.artifact_reader import Artifact
from service.inference.graphs import OrtGraphs, OrtRun, open_session

_MATRIX = {"matrix": np.zeros((64, 64), np.float32)}  # the one input of the endless graph


def endless_model() -> bytes:
    """A graph that multiplies a matrix by itself a billion times."""
    matrix = helper.make_tensor_value_info("next", TensorProto.FLOAT, [64, 64])
    step = helper.make_graph(
        [
            helper.make_node("MatMul", ["last", "last"], ["next"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("last", TensorProto.FLOAT, [64, 64]),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), matrix],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["times", "yes", "matrix"], ["product"], body=step)],
        "endless",
        [helper.make_tensor_value_info("matrix", TensorProto.FLOAT, [64, 64])],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, [64, 64])],
        [
            helper.make_tensor("times", TensorProto.INT64, [], [10**9]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


class EndlessGenerator(OrtGraphs):
    """An artifact's graphs with an endless generator."""

    def __init__(self, artifact: Artifact) -> None:
        sessions = artifact.graphs.sessions | {GENERATOR_GRAPH: open_session(endless_model())}
        super().__init__(artifact.manifest, sessions)
        self.jobs = 0

    def bind(self) -> OrtRun:
        """Graphs of one job, counted."""
        self.jobs += 1
        return _EndlessGeneratorRun(self)


class _EndlessGeneratorRun(OrtRun):
    def generate(self, arrays: Mapping[str, NDArray[Any]], *, rules: bool) -> NDArray[np.int32]:
        return super().generate(_MATRIX, rules=False)


class EndlessRefiner(OrtGraphs):
    """An artifact's graphs with an endless refiner."""

    def __init__(self, artifact: Artifact) -> None:
        sessions = artifact.graphs.sessions | {REFINER_GRAPH: open_session(endless_model())}
        super().__init__(artifact.manifest, sessions)

    def bind(self) -> OrtRun:
        """Graphs of one job."""
        return _EndlessRefinerRun(self)


class _EndlessRefinerRun(OrtRun):
    def refine(self, arrays: Mapping[str, NDArray[Any]], *, rules: bool) -> NDArray[np.int32]:
        return super().refine(_MATRIX, rules=False)
