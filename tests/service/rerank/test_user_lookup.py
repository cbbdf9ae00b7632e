"""The user lookup runs while candidates are encoded, and ends with its request."""

import asyncio
import json
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from model.contract.artifact.manifest import ManifestObjective
from model.contract.errors import ValueRejected
from model.contract.store.user_record import UserRecord
from model.contract.wire.request import parse_request
from service.rerank.artifact_slot import ItemTableSlot
from service.rerank.deadline import Deadline
from service.rerank.interfaces import UserStore
from service.rerank.request_context import RequestContext
from service.telemetry.deferred_histogram import flush_histograms
from tests.service.asking import LateStore, ask, body_of, model_of, reranker_of, store_of


class PendingStore(LateStore):
    """A store whose lookups end only when they are cancelled."""

    def __init__(self) -> None:
        self.lookups: list[asyncio.Future[None]] = []
        self.cleanups = 0

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> None:
        self.lookups.append(asyncio.get_running_loop().create_future())
        try:
            await self.lookups[-1]
        finally:
            await asyncio.sleep(0.001)  # as a connection pool that closes a connection
            self.cleanups += 1


def untimed() -> RequestContext:
    """The context of a request without a deadline."""
    return RequestContext("r", Deadline(0.0, float("inf"), lambda: 0.0))


def lookups_down() -> float | None:
    flush_histograms()
    return REGISTRY.get_sample_value("rerank_store_seconds_count", {"outcome": "down"})


async def test_lookup_of_a_rejected_request_is_cancelled(artifact, executor):
    store = PendingStore()
    reranker = reranker_of(model_of(artifact, store), executor)
    body = body_of(artifact)
    body["candidates"]["features"] = {"no_such_field": [1] * 12}
    before = lookups_down()

    with pytest.raises(ValueRejected, match="no_such_field"):
        async with asyncio.timeout(5.0):
            await reranker.rerank(parse_request(json.dumps(body).encode()), untimed())

    (lookup,) = store.lookups
    assert lookup.cancelled()
    assert store.cleanups == 1  # the request waits for the lookup's cleanup
    assert lookups_down() == before


async def test_lookup_of_a_cancelled_request_is_cancelled(artifact, executor):
    store = PendingStore()
    reranker = reranker_of(model_of(artifact, store), executor)
    request = parse_request(json.dumps(body_of(artifact)).encode())
    task = asyncio.create_task(reranker.rerank(request, untimed()))
    async with asyncio.timeout(5.0):
        while not store.lookups:  # noqa: ASYNC110  # a few loop iterations
            await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.lookups[0].cancelled()


class ObservingStore(LateStore):
    """Notes whether the candidates were encoded before and after its command is written."""

    def __init__(self, inner: UserStore, context: RequestContext) -> None:
        self.inner, self.context = inner, context
        self.encoded_at_start = self.encoded_at_end = False

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        self.encoded_at_start = "encode" in self.context.seconds
        for _ in range(4):
            await asyncio.sleep(0)
        self.encoded_at_end = "encode" in self.context.seconds
        return await self.inner.fetch_user(user_id, timeout_s=timeout_s)


async def test_candidates_are_encoded_during_the_lookup(artifact, executor):
    context = untimed()
    store = ObservingStore(store_of(artifact), context)
    reranker = reranker_of(model_of(artifact, store), executor)

    answer = await reranker.rerank(parse_request(json.dumps(body_of(artifact)).encode()), context)

    assert (store.encoded_at_start, store.encoded_at_end) == (False, True)
    assert answer["degraded"] == []


class RefreshingStore(LateStore):
    """Replaces the item table during the lookup: fewer items, in other rows."""

    def __init__(self, inner: UserStore, items: ItemTableSlot) -> None:
        self.inner, self.items = inner, items

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        for _ in range(4):
            await asyncio.sleep(0)
        table = self.items.table
        kept = slice(2, 12, 2)
        self.items.swap(
            replace(
                table,
                ids=table.ids[kept],
                rows=table.rows[kept],
                numbers={name: column[kept] for name, column in table.numbers.items()},
                display={name: column[kept] for name, column in table.display.items()},
            )
        )
        return await self.inner.fetch_user(user_id, timeout_s=timeout_s)


async def test_item_refresh_during_lookup_affects_later_requests(artifact, executor):
    weights = ManifestObjective(value_field="price")
    manifest = artifact.manifest.model_copy(update={"objective": weights})
    body = body_of(artifact, objective={"click": 0.0, "value": 1.0})
    expected = await ask(reranker_of(model_of(artifact, manifest=manifest), executor), body)
    items = ItemTableSlot(artifact.items)
    store = RefreshingStore(store_of(artifact), items)
    model = model_of(artifact, store, manifest=manifest, items=items)

    answer = await ask(reranker_of(model, executor), body)

    assert len(items.table.ids) == 5
    assert (answer["items"], answer["reward"]) == (expected["items"], expected["reward"])
