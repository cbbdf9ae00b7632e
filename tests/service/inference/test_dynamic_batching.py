"""Batched searches: bit-identical answers, and no effect of one request's trouble on another."""

import asyncio
import threading
import time
from typing import Any

import numpy as np
import pytest

from model.contract.artifact.manifest import GENERATOR_GRAPH
from service.errors import DeadlineExceeded, InferenceFailed
from service.features.memory_user_store import MemoryUserStore
from service.inference.artifact_reader import Artifact, read_artifact
from service.inference.graphs import OrtGraphs, OrtRun
from service.inference.thread_executor import ThreadExecutor
from service.inference.verification import batching_is_exact
from service.rerank.deadline import Deadline
from service.rerank.latency_model import LatencyModel, LatencySample, SearchLatency
from service.telemetry import service_metrics
from tests.service.asking import (
    NEGLIGIBLE,
    ask,
    body_of,
    latency_of,
    model_of,
    reranker_of,
    user_blob,
)
from tests.tiny_artifact import NET_CONFIGS, tiny_artifact

SEEDS = range(6)
SHORT = 2  # list size of the request that causes trouble


@pytest.fixture(scope="module", params=sorted(NET_CONFIGS))
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact of each kind of nets, checked for batching as at a start."""
    artifact = read_artifact(tiny_artifact(tmp_path_factory.mktemp("artifact"), request.param))
    artifact.graphs.batchable = batching_is_exact(artifact)
    return artifact


class _IdleGraphs:
    """Graphs of a job that runs none."""

    def bind(self) -> Any:
        return self

    def terminate(self) -> None:
        """Nothing runs."""


class QueueingExecutor(ThreadExecutor):
    """Holds jobs back until a number of them is queued, so that batches do not depend on time."""

    def __init__(self, max_batch_size: int) -> None:
        super().__init__(max_batch_size)
        self._jobs = 0

    async def run(self, graphs: Any, job: Any, deadline: Any) -> Any:
        self._jobs += 1
        return await super().run(graphs, job, deadline)

    async def queue(self, *asks: Any) -> list[asyncio.Task[Any]]:
        """Start all requests, and queue all of their jobs before the first one runs."""
        released, before, now = threading.Event(), self._jobs, time.monotonic()
        deadline = Deadline(now, now + 60.0)
        blocker = super().run(_IdleGraphs(), lambda _: released.wait(5.0), deadline)
        blocking = asyncio.create_task(blocker)
        await asyncio.sleep(0)  # the blocker is the first job in the queue
        tasks = [asyncio.create_task(one) for one in asks]
        async with asyncio.timeout(5.0):
            while self._jobs - before < len(tasks):  # noqa: ASYNC110  # a few loop iterations
                await asyncio.sleep(0)
        released.set()
        await blocking
        return tasks

    async def gather(self, *asks: Any) -> list[Any]:
        """Results of requests whose jobs are queued together."""
        return await asyncio.gather(*await self.queue(*asks))


@pytest.fixture
def executor():
    started = QueueingExecutor(4)
    yield started
    started.close()


class Changed(OrtGraphs):
    """An artifact's graphs with another class of runs."""

    def __init__(self, artifact: Artifact, run: type[OrtRun]) -> None:
        super().__init__(artifact.manifest, artifact.graphs.sessions)
        self.batchable, self.run = True, run

    def bind(self) -> OrtRun:
        return self.run(self)


class Fragile(OrtRun):
    """Fails whenever the short list's request takes part."""

    def run_graph(self, name: str, arrays: Any, *, requests: int = 1) -> dict[str, Any]:
        if (arrays["slot_valid"].sum(axis=1) == SHORT).any():
            raise InferenceFailed(graph=name, reason="the short list")
        return super().run_graph(name, arrays, requests=requests)


class Slow(OrtRun):
    """Blocks while the short list's request takes part, until it is terminated."""

    started = threading.Event()

    def __init__(self, graphs: OrtGraphs) -> None:
        super().__init__(graphs)
        self.released = threading.Event()

    def terminate(self) -> None:
        super().terminate()
        self.released.set()

    def run_graph(self, name: str, arrays: Any, *, requests: int = 1) -> dict[str, Any]:
        if (arrays["slot_valid"].sum(axis=1) == SHORT).any():
            Slow.started.set()
            assert self.released.wait(5.0)
            raise DeadlineExceeded(stage=name, remaining_ms=0.0)
        return super().run_graph(name, arrays, requests=requests)


class BatchDependent(OrtRun):
    """Adds one unit in the last place to probabilities of batched requests."""

    def run_graph(self, name: str, arrays: Any, *, requests: int = 1) -> dict[str, Any]:
        outputs = super().run_graph(name, arrays, requests=requests)
        if "p_click" in outputs and len(arrays["start"]) > 1:
            outputs["p_click"] = np.nextafter(outputs["p_click"], np.float32(1))
        return outputs


class PaddingDependent(OrtRun):
    """Adds one unit in the last place where histories are padded to the largest size."""

    def run_graph(self, name: str, arrays: Any, *, requests: int = 1) -> dict[str, Any]:
        outputs = super().run_graph(name, arrays, requests=requests)
        if name == GENERATOR_GRAPH and arrays["sessions"].shape[1] == LARGEST_HISTORY:
            outputs["known"] = np.nextafter(outputs["known"], np.float32(1))
        return outputs


LARGEST_HISTORY = 10


def own_body(artifact: Artifact, seed: int) -> dict[str, Any]:
    """A request of the same size for each seed, with candidates of its own."""
    return body_of(artifact, seed=seed, candidates={"item_id": artifact.items.ids[seed:][:20]})


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """A response without timings and request id."""
    return {k: v for k, v in answer.items() if k not in {"timings_ms", "request_id"}}


def batch_sizes() -> list[float]:
    """Sizes of the generator's batches since the histogram was last flushed."""
    return list(service_metrics.BATCH_SIZE.labels().pending)


async def answer_batched(
    artifact: Artifact, model: Any, executor: QueueingExecutor, **second: Any
) -> list[Any]:
    """Responses to six requests that are queued together; `second` changes the second one."""
    reranker = reranker_of(model, executor)
    bodies = [own_body(artifact, seed) for seed in SEEDS]
    bodies[1] |= second
    asks = [ask(reranker, body, budget_s=body.pop("budget_s", 5.0)) for body in bodies]
    return await executor.gather(*asks)


def test_exported_graphs_allow_exact_batching(kind):
    assert kind.graphs.batchable


def test_batching_is_exact_detects_dependence_on_batch(kind):
    graphs = Changed(kind, BatchDependent)

    assert not batching_is_exact(Artifact(kind.folder, kind.manifest, graphs, kind.items))


def test_batching_is_exact_detects_dependence_on_padding(kind):
    graphs = Changed(kind, PaddingDependent)

    assert kind.manifest.lengths.sessions == LARGEST_HISTORY
    assert not batching_is_exact(Artifact(kind.folder, kind.manifest, graphs, kind.items))


async def test_batched_answers_equal_answers_alone(kind, executor):
    model = model_of(kind)
    reranker = reranker_of(model, executor)
    alone = [await ask(reranker, own_body(kind, seed)) for seed in SEEDS]
    before = len(batch_sizes())

    batched = await answer_batched(kind, model, executor)

    assert [comparable(answer) for answer in batched] == [comparable(answer) for answer in alone]
    assert len({str(answer["items"]) for answer in alone}) > 1
    assert batch_sizes()[before:] == [4, 2]


async def test_batched_histories_of_different_lengths_equal_alone(kind, executor):
    most = kind.manifest.lengths.sessions
    users = {f"h{count}": user_blob(kind, count) for count in (2, 0, most + 1, 1, most, 3)}
    store = MemoryUserStore(users, schema_hash=kind.manifest.schema_hash)
    reranker = reranker_of(model_of(kind, store), executor)
    bodies = [own_body(kind, 1) | {"user_id": user} for user in users]
    alone = [await ask(reranker, body) for body in bodies]
    before = len(batch_sizes())

    batched = await executor.gather(*(ask(reranker, body) for body in bodies))

    assert [comparable(answer) for answer in batched] == [comparable(answer) for answer in alone]
    assert len({answer["reward"] for answer in alone}) > 3  # histories change the reward
    assert batch_sizes()[before:] == [4, 2]


async def test_requests_of_different_batch_keys_run_alone(kind, executor):
    """Caps need another graph, an explanation its own batch, other candidates other sizes."""
    before = len(batch_sizes())
    reranker = reranker_of(model_of(kind), executor)
    caps = {"caps": [{"field": "brand", "max": 1}]}
    bodies = [
        body_of(kind),
        body_of(kind, constraints=caps),
        body_of(kind, explain=True),
        body_of(kind, candidates={"item_id": list(kind.items.ids[:9])}),
    ]

    answers = await executor.gather(*(ask(reranker, body) for body in bodies))

    assert [answer["degraded"] for answer in answers] == [[], [], [], []]
    assert len(batch_sizes()) == before


async def test_batched_lists_of_other_sizes_equal_alone(kind, executor):
    model = model_of(kind)
    changes = {"list_size": 3, "num_lists": 5}
    alone = await ask(reranker_of(model, executor), own_body(kind, 1) | changes)

    batched = await answer_batched(kind, model, executor, **changes)

    assert comparable(batched[1]) == comparable(alone)
    assert [answer["degraded"] for answer in batched] == [[]] * len(SEEDS)


class Frozen:
    """A clock with a constant time, so that plans do not depend on the machine's load."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


async def test_request_without_time_for_batch_runs_alone(kind, executor):
    """A batch of four takes 2.95 times as long as one request; the second has time for one."""
    # with headroom a search takes 3 s alone, 4.95 s in a batch of two and 6.9 s in one of three
    reranker = reranker_of(model_of(kind, latency=latency_of(2.0)), executor)
    before, clock = len(batch_sizes()), Frozen()
    budgets = [60.0, 4.0, 60.0, 60.0, 60.0, 60.0]

    answers = await executor.gather(
        *(
            ask(reranker, own_body(kind, seed), budget_s, clock=clock)
            for seed, budget_s in zip(SEEDS, budgets, strict=True)
        )
    )

    assert [answer["degraded"] for answer in answers] == [[]] * len(SEEDS)
    assert batch_sizes()[before:] == [3, 2]


async def test_request_run_alone_observes_batch_size_one(kind):
    """The first request has time for a batch; the others do not."""
    seen: list[int] = []

    class Noting(LatencyModel):
        def observe(self, sample: LatencySample) -> None:
            seen.append(sample.batch_size)

    latency = SearchLatency(Noting((2.0, 0.0, 0.0, 0.0)), LatencyModel(NEGLIGIBLE))
    executor, clock, before = QueueingExecutor(8), Frozen(), len(batch_sizes())
    model = model_of(kind, latency=dict.fromkeys((False, True), latency))
    reranker = reranker_of(model, executor)
    budgets = [60.0, 4.0, 4.0]

    await executor.gather(
        *(
            ask(reranker, own_body(kind, seed), budget_s, clock=clock)
            for seed, budget_s in enumerate(budgets)
        )
    )
    executor.close()

    assert seen == [1, 1, 1]
    assert batch_sizes()[before:] == []


async def test_batch_size_is_limited_by_its_lists(kind):
    """With 60 candidates and 64 lists each, 12,800 scores allow three requests."""
    executor, before = QueueingExecutor(8), len(batch_sizes())
    body = {"candidates": {"item_id": list(kind.items.ids[:60])}, "num_lists": 64}
    reranker = reranker_of(model_of(kind), executor)

    await executor.gather(*(ask(reranker, body_of(kind, seed=seed) | body) for seed in SEEDS))
    executor.close()

    assert batch_sizes()[before:] == [3, 3]


async def test_large_request_joins_no_batch_above_its_limit(kind):
    """The first request has one list and would allow a batch of five."""
    executor, before = QueueingExecutor(8), len(batch_sizes())
    reranker = reranker_of(model_of(kind), executor)
    offer = {"candidates": {"item_id": list(kind.items.ids[:60])}}
    bodies = [body_of(kind, num_lists=lists) | offer for lists in (1, 64, 64, 64, 64)]

    await executor.gather(*(ask(reranker, body) for body in bodies))
    executor.close()

    assert batch_sizes()[before:]
    assert max(batch_sizes()[before:]) <= 3


async def test_failed_batch_runs_again_without_its_cause(kind, executor):
    model = model_of(kind, graphs=Changed(kind, Fragile))
    whole = await answer_batched(kind, model_of(kind), executor)

    answers = await answer_batched(kind, model, executor, list_size=SHORT)

    assert answers[1]["degraded"] == ["input_order"]
    for index in (0, 2, 3, 4, 5):
        assert comparable(answers[index]) == comparable(whole[index])


async def test_batch_terminated_at_one_deadline_runs_again(kind, executor):
    model = model_of(kind, graphs=Changed(kind, Slow))
    whole = await answer_batched(kind, model_of(kind), executor)
    began = time.monotonic()

    answers = await answer_batched(kind, model, executor, list_size=SHORT, budget_s=0.3)

    assert answers[1]["degraded"] == ["input_order"]
    for index in (0, 2, 3, 4, 5):
        assert comparable(answers[index]) == comparable(whole[index])
    assert 0.25 < time.monotonic() - began < 3.0


async def test_cancelled_member_does_not_affect_its_batch(kind, executor):
    Slow.started.clear()
    reranker = reranker_of(model_of(kind, graphs=Changed(kind, Slow)), executor)
    bodies = [own_body(kind, seed) for seed in SEEDS]
    bodies[1] |= {"list_size": SHORT}
    tasks = await executor.queue(*(ask(reranker, body, 9.0) for body in bodies))
    await asyncio.to_thread(Slow.started.wait, 5.0)  # the batch blocks for the second request

    tasks[1].cancel()
    answers: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(answers[1], asyncio.CancelledError)
    for index in (0, 2, 3, 4, 5):
        assert answers[index]["degraded"] == []


async def test_max_batch_size_of_one_disables_batching(kind):
    executor, before = QueueingExecutor(1), len(batch_sizes())

    await answer_batched(kind, model_of(kind), executor)
    executor.close()

    assert len(batch_sizes()) == before


def test_batched_sample_has_the_speed_of_one_alone():
    model = LatencyModel((0.001, 0.0, 0.0, 0.0))

    model.observe(LatencySample(10, 8, 0.001 * (1 + 0.65 * 3), batch_size=4))

    assert model.slowdown_factor == pytest.approx(1.0)
