"""A real ONNX Runtime run that would take minutes: ended by the budget, or by a caller who left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model.contract.artifact.manifest import GENERATOR_GRAPH
from service.errors import DeadlineExceeded
from service.inference.artifact import Artifact
from service.inference.graphs import OrtGraphs, OrtRun, open_session
from service.inference.worker import ThreadWorker
from service.rerank.deadline import Deadline
from tests.service.asking import ask, body_of, model_of, reranker_of

BUDGET_S = 0.1
FREE_AGAIN_S = 3.0  # of a busy test machine; without an end the run takes minutes


def endless_model() -> bytes:
    """A generator that multiplies a matrix with itself a billion times."""
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


class Stuck(OrtGraphs):
    """An artifact's graphs whose generator never ends."""

    def __init__(self, artifact: Artifact) -> None:
        sessions = artifact.graphs.sessions | {GENERATOR_GRAPH: open_session(endless_model())}
        super().__init__(artifact.manifest, sessions)
        self.begun = 0

    def bind(self) -> OrtRun:
        self.begun += 1
        return EndlessRun(self)


class EndlessRun(OrtRun):
    """Gives the generator the one input that it has."""

    def generate(self, arrays: Mapping[str, NDArray[Any]], *, rules: bool) -> NDArray[np.int32]:
        return super().generate({"matrix": np.zeros((64, 64), np.float32)}, rules=False)


async def test_a_run_that_is_stuck_ends_at_the_budget_and_the_next_request_is_served(
    artifact: Artifact, worker: ThreadWorker
) -> None:
    began = time.monotonic()
    stuck = reranker_of(model_of(artifact, graphs=Stuck(artifact)), worker)
    answer = await ask(stuck, body_of(artifact), budget_s=BUDGET_S)
    lasted = time.monotonic() - began
    whole = await ask(reranker_of(model_of(artifact), worker), body_of(artifact), FREE_AGAIN_S)

    assert answer["degraded"] == ["input_order"]
    assert lasted < BUDGET_S + 0.5
    assert whole["degraded"] == []  # the one thread is free again


async def test_the_run_of_a_caller_who_left_ends_at_once_and_frees_the_thread(
    artifact: Artifact, worker: ThreadWorker
) -> None:
    graphs, now = Stuck(artifact), time.monotonic()
    minutes = Deadline(now, now + 600)
    left = asyncio.create_task(
        worker.run(graphs, lambda bound: bound.generate({}, rules=False), minutes)
    )
    await asyncio.sleep(0.1)  # it runs
    assert graphs.begun == 1
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left

    soon = Deadline(time.monotonic(), time.monotonic() + FREE_AGAIN_S)
    assert await worker.run(artifact.graphs, lambda _: "free", soon) == "free"


async def test_a_run_on_the_worker_is_named_as_ended_by_the_budget(
    artifact: Artifact, worker: ThreadWorker
) -> None:
    now = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await worker.run(
            Stuck(artifact),
            lambda bound: bound.generate({}, rules=False),
            Deadline(now, now + BUDGET_S),
        )
