"""POST /rerank as an ASGI application: clients that leave, too many clients, faults."""

import asyncio
import json

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from starlette.types import Message

from service.api.concurrency import ConcurrencyLimiter
from service.telemetry.deferred_histogram import flush_histograms
from service.telemetry.service_metrics import REQUEST_SECONDS
from tests.service.applications import rerank_app
from tests.service.asking import LateStore, body_of, model_of, reranker_of

_HARDLY_S = 1e-3  # a wait for a slot may end that early


class WaitingStore(LateStore):
    """A store that answers when the test says so, and counts cancelled reads."""

    def __init__(self) -> None:
        self.asked, self.answer, self.dropped = asyncio.Event(), asyncio.Event(), 0

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> None:
        """Wait for the test; a read with hardly any time left fails at once, as in any store."""
        self.asked.set()
        if timeout_s < _HARDLY_S:
            await super().fetch_user(user_id, timeout_s=timeout_s)  # which raises
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.dropped += 1
            raise


class Call:
    """One request to the application."""

    def __init__(self, app: FastAPI, raw: bytes) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.incoming.put_nowait({"type": "http.request", "body": raw, "more_body": False})
        self.sent: list[Message] = []
        self.read = 0
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/rerank",
            "headers": [],
            "query_string": b"",
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        message = await self.incoming.get()
        self.read += 1
        return message

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.fixture
def store():
    return WaitingStore()


@pytest.fixture
def limiter():
    return ConcurrencyLimiter(max_inflight=1, max_waiting=1)


@pytest.fixture
def reranker(artifact, executor, store):
    return reranker_of(model_of(artifact, store), executor)


@pytest.fixture
def app(reranker, limiter):
    return rerank_app(reranker, limiter=limiter)


@pytest.fixture
def raw(artifact):
    return json.dumps(body_of(artifact, budget_ms=1000)).encode()


def gone() -> float:
    """Clients that left after an artifact was chosen for them."""
    labels = {"artifact": "current", "outcome": "disconnected"}
    return REGISTRY.get_sample_value("rerank_request_seconds_count", labels) or 0.0


def gauges() -> list[float | None]:
    names = ("rerank_in_flight_requests", "rerank_waiting_requests")
    return [REGISTRY.get_sample_value(name) for name in names]


async def test_rerank_client_that_leaves_frees_its_slot(app, store, limiter, raw):
    before = gone()
    call = Call(app, raw)
    await store.asked.wait()
    assert limiter.in_flight == 1

    call.incoming.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(call.task, 1.0)

    assert (store.dropped, limiter.in_flight) == (1, 0)
    assert [message.get("status") for message in call.sent] == [499, None]  # not sent any more
    assert gone() == before + 1


async def test_rerank_clients_that_leave_reset_both_gauges(app, store, raw):
    for settle in (0, 1, 2, 5):  # turns of the loop before the client leaves
        calls = [Call(app, raw) for _ in range(2)]  # one in flight, one waiting
        for _ in range(settle):
            await asyncio.sleep(0)
        for call in calls:
            call.incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(asyncio.gather(*(call.task for call in calls)), 1.0)
        assert gauges() == [0, 0]

    store.asked.clear()
    working, waiting = Call(app, raw), Call(app, raw)
    await store.asked.wait()
    assert gauges() == [1, 1]
    waiting.incoming.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(waiting.task, 1.0)
    assert gauges() == [1, 0]
    working.incoming.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(working.task, 1.0)
    assert gauges() == [0, 0]


async def test_rerank_over_capacity_is_429_before_body_is_read(app, store, raw):
    calls = [Call(app, raw) for _ in range(3)]
    await store.asked.wait()
    await asyncio.wait_for(calls[2].task, 1.0)
    store.answer.set()
    await asyncio.wait_for(asyncio.gather(*(call.task for call in calls)), 5.0)

    assert [call.sent[0]["status"] for call in calls] == [200, 200, 429]
    assert calls[2].read == 0
    assert (b"retry-after", b"1") in calls[2].sent[0]["headers"]


async def test_rerank_reports_its_wait_for_a_slot(app, store, raw):
    first, second = Call(app, raw), Call(app, raw)
    await store.asked.wait()
    await asyncio.sleep(0.05)
    store.answer.set()
    await asyncio.gather(first.task, second.task)

    queued = [json.loads(c.sent[1]["body"])["timings_ms"]["queue"] for c in (first, second)]
    assert queued[0] < 20 < 40 < queued[1]


async def test_rerank_without_slot_in_time_answers_input_order(app, store, artifact, raw):
    budget_ms = 60
    stuck = Call(app, raw)
    await store.asked.wait()
    asked = body_of(artifact, budget_ms=budget_ms, constraints={"exclude": [artifact.items.ids[0]]})
    late = Call(app, json.dumps(asked).encode())
    await asyncio.wait_for(late.task, 1.0)  # while the place in flight is still taken
    assert not stuck.task.done()
    store.answer.set()
    await stuck.task

    assert late.sent[0]["status"] == 200
    answer = json.loads(late.sent[1]["body"])
    assert answer["degraded"] == ["user_features", "input_order"]
    assert answer["items"][0]["item_id"] == artifact.items.ids[1]  # the rules still hold
    assert budget_ms / 2 < answer["timings_ms"]["queue"] < budget_ms + 40
    assert gauges() == [0, 0]


async def test_rerank_malformed_body_does_not_wait(app, store, raw):
    stuck = Call(app, raw)
    await store.asked.wait()
    broken = Call(app, b"{")
    await asyncio.wait_for(broken.task, 0.5)
    store.answer.set()
    await stuck.task

    assert broken.sent[0]["status"] == 400


async def test_rerank_histograms_are_flushed_every_few_requests(app, raw):
    flush_histograms()
    refused = REQUEST_SECONDS.series["none", "rejected"]
    most = 0
    for _ in range(100):
        call = Call(app, b"no json")
        await call.task
        most = max(most, len(refused.pending))

    assert 0 < most <= 16


async def test_rerank_unexpected_error_is_opaque_500(app, reranker, store, raw, monkeypatch):
    store.answer.set()
    model = reranker.artifact_slot.current
    monkeypatch.setattr(type(model.encoder), "encode_context", lambda *_: 1 / 0)

    call = Call(app, raw)
    await call.task

    assert call.sent[0]["status"] == 500
    assert json.loads(call.sent[1]["body"])["error"]["code"] == "internal"
    assert b"ZeroDivision" not in call.sent[1]["body"]
