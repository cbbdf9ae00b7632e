"""Deadlines, cancellation and errors of jobs on the executor's thread."""

import asyncio
import gc
import threading
import time
import weakref

import pytest

from service.errors import DeadlineExceeded
from service.inference.artifact_reader import Artifact
from service.inference.graphs import OrtGraphs, OrtRun
from service.inference.thread_executor import ThreadExecutor
from service.rerank.deadline import Deadline
from service.telemetry import service_metrics
from tests.service.asking import ask, body_of, model_of, reranker_of
from tests.service.inference.endless_graphs import EndlessGenerator

BUDGET_S = 0.1
FREE_AGAIN_S = 3.0  # on a busy machine; a run that is not terminated takes minutes


class BlockingGraphs:
    """Graphs whose job blocks its thread until it is terminated or released."""

    def __init__(self) -> None:
        self.terminated, self.released, self.started = 0, threading.Event(), 0

    def bind(self) -> "BlockingGraphs":
        return self

    def terminate(self) -> None:
        self.terminated += 1
        self.released.set()

    def block(self, _: object) -> str:
        self.started += 1
        self.released.wait(5.0)
        return "done"


class SlowToBind(OrtGraphs):
    """Graphs whose binding gives the thread time to take a job that it already has."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact.manifest, artifact.graphs.sessions)
        self.batchable = True

    def bind(self) -> OrtRun:
        threading.Event().wait(0.05)
        return super().bind()


def within(seconds: float) -> Deadline:
    now = time.monotonic()
    return Deadline(now, now + seconds)


async def test_run_past_its_deadline_is_terminated(executor):
    blocking = BlockingGraphs()
    began = time.monotonic()

    with pytest.raises(DeadlineExceeded):
        await executor.run(blocking, blocking.block, within(0.03))

    assert 0.025 < time.monotonic() - began < 0.3
    assert blocking.terminated == 1
    assert await executor.run(BlockingGraphs(), lambda _: "next", within(1.0)) == "next"


async def test_run_that_ends_in_time_is_not_terminated(executor):
    quick = BlockingGraphs()

    await executor.run(quick, lambda _: "done", within(0.02))
    await asyncio.sleep(0.05)

    assert quick.terminated == 0


async def test_queued_job_past_its_deadline_never_starts(executor):
    first, late = BlockingGraphs(), BlockingGraphs()
    running = asyncio.create_task(executor.run(first, first.block, within(2.0)))
    await asyncio.sleep(0.01)

    with pytest.raises(DeadlineExceeded):
        await executor.run(late, late.block, within(0.03))
    first.released.set()

    assert await running == "done"
    assert await executor.run(BlockingGraphs(), lambda _: 7, within(1.0)) == 7
    assert late.started == 0


async def test_cancelled_job_terminates_only_its_own_run(executor):
    first = BlockingGraphs()
    cancelled = asyncio.create_task(executor.run(first, first.block, within(2.0)))
    await asyncio.sleep(0.02)
    other = asyncio.create_task(executor.run(BlockingGraphs(), lambda _: "other", within(2.0)))
    cancelled.cancel()

    assert await other == "other"
    assert first.terminated == 1
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_queued_job_that_is_cancelled_never_starts(executor):
    first, queued = BlockingGraphs(), BlockingGraphs()
    running = asyncio.create_task(executor.run(first, first.block, within(2.0)))
    await asyncio.sleep(0.01)
    cancelled = asyncio.create_task(executor.run(queued, queued.block, within(2.0)))
    await asyncio.sleep(0.01)
    cancelled.cancel()
    first.released.set()

    assert await running == "done"
    assert await executor.run(BlockingGraphs(), lambda _: "next", within(1.0)) == "next"
    assert queued.started == 0


async def test_jobs_run_in_the_order_of_submission(executor):
    order: list[int] = []

    runs = [
        executor.run(BlockingGraphs(), lambda _, k=k: order.append(k), within(1.0))
        for k in range(5)
    ]
    await asyncio.gather(*runs)

    assert order == [0, 1, 2, 3, 4]


async def test_requests_of_one_turn_share_run(artifact):
    executor, sizes = ThreadExecutor(4), service_metrics.BATCH_SIZE.labels()
    sizes.flush()
    reranker = reranker_of(model_of(artifact, graphs=SlowToBind(artifact)), executor)

    await asyncio.gather(
        *(ask(reranker, body_of(artifact, seed=k), budget_s=5.0) for k in range(3))
    )
    executor.close()

    assert sizes.pending == [3.0]


async def test_job_error_reaches_its_caller_only(executor):
    def fail(_: object) -> None:
        raise ZeroDivisionError("in the job")

    with pytest.raises(ZeroDivisionError, match="in the job"):
        await executor.run(BlockingGraphs(), fail, within(1.0))
    assert await executor.run(BlockingGraphs(), lambda _: "next", within(1.0)) == "next"


async def test_job_submitted_after_its_deadline_is_rejected(executor):
    graphs = BlockingGraphs()

    with pytest.raises(DeadlineExceeded):
        await executor.run(graphs, graphs.block, within(-0.001))

    assert graphs.started == 0


async def test_idle_executor_keeps_no_graphs_alive(executor):
    graphs = BlockingGraphs()
    reference = weakref.ref(graphs)
    await executor.run(graphs, lambda _: "done", within(1.0))

    del graphs
    async with asyncio.timeout(FREE_AGAIN_S):
        while reference() is not None:  # the thread leaves its last job in its own time
            gc.collect()
            await asyncio.sleep(0.001)


async def test_endless_onnx_run_ends_at_the_budget(artifact, executor):
    began = time.monotonic()
    endless = reranker_of(model_of(artifact, graphs=EndlessGenerator(artifact)), executor)
    answer = await ask(endless, body_of(artifact), budget_s=BUDGET_S)
    lasted = time.monotonic() - began
    next_answer = await ask(
        reranker_of(model_of(artifact), executor), body_of(artifact), FREE_AGAIN_S
    )

    assert answer["degraded"] == ["input_order"]
    assert lasted < BUDGET_S + 0.5
    assert next_answer["degraded"] == []


async def test_endless_onnx_run_ends_with_its_cancelled_caller(artifact, executor):
    graphs = EndlessGenerator(artifact)
    caller = asyncio.create_task(
        executor.run(graphs, lambda bound: bound.generate({}, rules=False), within(600.0))
    )
    await asyncio.sleep(0.1)  # the run has started
    assert graphs.jobs == 1
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert await executor.run(artifact.graphs, lambda _: "free", within(FREE_AGAIN_S)) == "free"


async def test_terminated_onnx_run_raises_budget_spent(artifact, executor):
    with pytest.raises(DeadlineExceeded):
        await executor.run(
            EndlessGenerator(artifact),
            lambda bound: bound.generate({}, rules=False),
            within(BUDGET_S),
        )
