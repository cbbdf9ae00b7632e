"""POST /rerank as an ASGI app: what a client that leaves, or that comes too many, sets off."""

import asyncio
import json
import time

import pytest
from prometheus_client import REGISTRY
from starlette.types import Message

from service.api.admission import Admission
from service.api.rerank import Door, RerankEndpoint
from service.api.tokens import Tokens
from service.telemetry.deferred_histogram import flush_histograms
from service.telemetry.service_metrics import REQUEST_SECONDS
from tests.service.asking import LateStore, body_of, model_of, reranker_of

_HARDLY_S = 1e-3  # a wait for a turn may end that early, and no test waits for it


class WaitingStore(LateStore):
    """A store that answers when the test says so, and knows who was dropped."""

    def __init__(self) -> None:
        self.asked, self.answer, self.dropped = asyncio.Event(), asyncio.Event(), 0

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> None:
        """Wait for the test; who has hardly any time left is told so at once, as by any store."""
        self.asked.set()
        if timeout_s < _HARDLY_S:
            await super().fetch_user(user_id, timeout_s=timeout_s)  # which raises
        try:
            await self.answer.wait()
        except asyncio.CancelledError:
            self.dropped += 1
            raise


class Call:
    """One request to the endpoint."""

    def __init__(self, endpoint: RerankEndpoint, raw: bytes) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.incoming.put_nowait({"type": "http.request", "body": raw, "more_body": False})
        self.sent: list[Message] = []
        self.read = 0
        scope = {"type": "http", "method": "POST", "path": "/rerank", "headers": []}
        self.task = asyncio.create_task(endpoint(scope, self._receive, self._send))

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
def admission():
    return Admission(max_inflight=1, max_waiting=1)


@pytest.fixture
def endpoint(artifact, worker, store, admission):
    door = Door(
        admission=admission,
        tokens=Tokens([], open_without=True),
        max_body_bytes=100_000,
        body_timeout_ms=1000,
        clock=time.monotonic,
    )
    return RerankEndpoint(reranker_of(model_of(artifact, store), worker), door)


@pytest.fixture
def raw(artifact):
    return json.dumps(body_of(artifact, budget_ms=1000)).encode()


def gone() -> float:
    """Callers that hung up after an artifact was chosen for them."""
    labels = {"artifact": "current", "outcome": "disconnected"}
    return REGISTRY.get_sample_value("rerank_request_seconds_count", labels) or 0.0


def gauges() -> list[float | None]:
    names = ("rerank_in_flight_requests", "rerank_waiting_requests")
    return [REGISTRY.get_sample_value(name) for name in names]


async def test_the_work_of_a_client_that_hung_up_is_dropped_and_its_place_is_free(
    endpoint, store, admission, raw
):
    before = gone()
    call = Call(endpoint, raw)
    await store.asked.wait()
    assert admission.in_flight == 1

    call.incoming.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(call.task, 1.0)

    assert (store.dropped, call.sent, admission.in_flight) == (1, [], 0)
    assert gone() == before + 1


async def test_callers_that_hang_up_at_any_moment_leave_both_gauges_at_zero(endpoint, store, raw):
    for settle in (0, 1, 2, 5):  # turns of the loop between asking and hanging up
        calls = [Call(endpoint, raw) for _ in range(2)]  # one in flight, one waiting
        for _ in range(settle):
            await asyncio.sleep(0)
        for call in calls:
            call.incoming.put_nowait({"type": "http.disconnect"})
        await asyncio.wait_for(asyncio.gather(*(call.task for call in calls)), 1.0)
        assert gauges() == [0, 0]

    store.asked.clear()
    working, waiting = Call(endpoint, raw), Call(endpoint, raw)
    await store.asked.wait()
    assert gauges() == [1, 1]
    waiting.incoming.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(waiting.task, 1.0)
    assert gauges() == [1, 0]
    working.incoming.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(working.task, 1.0)
    assert gauges() == [0, 0]


async def test_one_too_many_is_refused_before_its_body_is_read_and_the_others_are_answered(
    endpoint, store, raw
):
    calls = [Call(endpoint, raw) for _ in range(3)]
    await store.asked.wait()
    await asyncio.wait_for(calls[2].task, 1.0)
    store.answer.set()
    await asyncio.wait_for(asyncio.gather(*(call.task for call in calls)), 5.0)

    assert [call.sent[0]["status"] for call in calls] == [200, 200, 429]
    assert calls[2].read == 0
    assert (b"retry-after", b"1") in calls[2].sent[0]["headers"]


async def test_a_request_that_waited_for_its_turn_says_so_in_its_times(endpoint, store, raw):
    first, second = Call(endpoint, raw), Call(endpoint, raw)
    await store.asked.wait()
    await asyncio.sleep(0.05)
    store.answer.set()
    await asyncio.gather(first.task, second.task)

    queued = [json.loads(c.sent[1]["body"])["timings_ms"]["queue"] for c in (first, second)]
    assert queued[0] < 20 < 40 < queued[1]


async def test_the_budget_also_ends_the_wait_for_a_turn_and_the_input_order_is_answered(
    endpoint, store, artifact, raw
):
    budget_ms = 60
    stuck = Call(endpoint, raw)
    await store.asked.wait()
    asked = body_of(artifact, budget_ms=budget_ms, constraints={"exclude": [artifact.items.ids[0]]})
    late = Call(endpoint, json.dumps(asked).encode())
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


async def test_a_malformed_body_waits_for_nobody(endpoint, store, raw):
    stuck = Call(endpoint, raw)
    await store.asked.wait()
    broken = Call(endpoint, b"{")
    await asyncio.wait_for(broken.task, 0.5)
    store.answer.set()
    await stuck.task

    assert broken.sent[0]["status"] == 400


async def test_observations_of_refused_requests_too_are_folded_every_few_requests(endpoint, raw):
    flush_histograms()
    refused = REQUEST_SECONDS.series["none", "rejected"]
    most = 0
    for _ in range(100):
        call = Call(endpoint, b"no json")
        await call.task
        most = max(most, len(refused.pending))

    assert 0 < most <= 16


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(endpoint, store, raw, monkeypatch):
    store.answer.set()
    model = endpoint.reranker.models.current
    monkeypatch.setattr(type(model.encoder), "encode_context", lambda *_: 1 / 0)

    call = Call(endpoint, raw)
    await call.task

    assert call.sent[0]["status"] == 500
    assert json.loads(call.sent[1]["body"])["error"]["code"] == "internal"
    assert b"ZeroDivision" not in call.sent[1]["body"]
