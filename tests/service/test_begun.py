"""A coroutine begun ahead: runs until it waits, goes on where it is awaited, leaves nothing."""

import asyncio
import json
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from model.contract.artifact.manifest import ManifestObjective
from model.contract.errors import ValueRejected
from model.contract.store.user_record import UserRecord
from model.contract.wire.request import parse_request
from service.rerank.begun import Begun
from service.rerank.deadline import Deadline
from service.rerank.ports import ItemHolder, UserStore
from service.rerank.reranker import Visit
from service.telemetry.deferred_histogram import flush_histograms
from tests.service.asking import LateStore, ask, body_of, model_of, reranker_of, store_of


async def told(first: asyncio.Future[int], second: asyncio.Future[int], seen: list[str]) -> int:
    seen.append("begun")
    try:
        return await first + await second
    except ValueError:
        return -1
    finally:
        seen.append("ended")


async def test_it_has_run_until_it_waits_before_anybody_awaits_it():
    loop, seen = asyncio.get_running_loop(), list[str]()
    first, second = loop.create_future(), loop.create_future()

    begun = Begun(told(first, second, seen))

    assert seen == ["begun"]
    loop.call_soon(first.set_result, 3)
    loop.call_later(0.001, second.set_result, 4)
    assert await begun == 7
    assert seen == ["begun", "ended"]


async def test_what_it_waited_for_may_be_there_when_it_is_awaited():
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()
    begun = Begun(told(first, second, []))
    first.set_result(1)
    second.set_result(2)
    await asyncio.sleep(0)

    assert await begun == 3


async def test_errors_of_what_it_waits_for_are_its_own_to_judge():
    loop = asyncio.get_running_loop()
    first = loop.create_future()
    begun = Begun(told(first, loop.create_future(), []))
    first.set_exception(ValueError())

    assert await begun == -1


async def nothing_to_wait_for(error: Exception | None) -> str:
    if error is not None:
        raise error
    return "there"


async def test_one_that_never_waits_tells_whoever_awaits_it():
    assert await Begun(nothing_to_wait_for(None)) == "there"
    failed = Begun(nothing_to_wait_for(KeyError("odd")))
    with pytest.raises(KeyError, match="odd"):
        await failed


async def test_whoever_is_cancelled_while_awaiting_it_cancels_it():
    loop, seen = asyncio.get_running_loop(), list[str]()
    first = loop.create_future()

    async def ask() -> int:
        return await Begun(told(first, first, seen))

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["begun", "ended"]
    assert first.cancelled()


async def test_what_is_thrown_at_whoever_awaits_it_reaches_it():
    loop = asyncio.get_running_loop()
    awaited = Begun(told(loop.create_future(), loop.create_future(), [])).__await__()
    next(awaited)

    with pytest.raises(StopIteration) as ended:
        awaited.throw(ValueError())
    assert ended.value.value == -1


async def test_given_up_it_ends_and_gives_up_what_it_waits_for():
    loop, seen = asyncio.get_running_loop(), list[str]()
    first = loop.create_future()

    await Begun(told(first, first, seen)).give_up()

    assert seen == ["begun", "ended"]
    assert first.cancelled()


async def test_given_up_it_may_take_turns_of_the_loop_to_put_away_what_it_holds():
    seen = []

    async def holding() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0.001)  # as a pool does that closes a connection
            seen.append("put away")

    await Begun(holding()).give_up()

    assert seen == ["put away"]


async def test_given_up_after_its_end_it_says_nothing():
    await Begun(nothing_to_wait_for(KeyError("odd"))).give_up()
    await Begun(nothing_to_wait_for(None)).give_up()


class SlowStore(LateStore):
    """Whose answer is under way until it is given up."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[None]] = []

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> None:
        self.asked.append(asyncio.get_running_loop().create_future())
        await self.asked[-1]


async def test_a_request_that_is_refused_while_the_store_is_asked_gives_that_up(artifact, worker):
    store = SlowStore()
    reranker = reranker_of(model_of(artifact, store), worker)
    body = body_of(artifact)
    body["candidates"]["features"] = {"no_such_field": [1] * 12}
    visit = Visit("r", Deadline(0.0, float("inf"), lambda: 0.0))
    flush_histograms()
    down = REGISTRY.get_sample_value("rerank_store_seconds_count", {"outcome": "down"})

    with pytest.raises(ValueRejected, match="no_such_field"):
        async with asyncio.timeout(5.0):
            await reranker.rerank(parse_request(json.dumps(body).encode()), visit)

    (asked,) = store.asked
    assert asked.cancelled()
    flush_histograms()
    assert REGISTRY.get_sample_value("rerank_store_seconds_count", {"outcome": "down"}) == down


class NotingStore(LateStore):
    """Says whether the request's candidates had been encoded when its answer came."""

    def __init__(self, inner: UserStore, visit: Visit) -> None:
        self.inner, self.visit, self.encoded = inner, visit, False

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.encoded = "encode" in self.visit.seconds
        return await self.inner.fetch_user(user_id, timeout_s=timeout_s)


async def test_candidates_are_encoded_while_the_store_looks_the_user_up(artifact, worker):
    visit = Visit("r", Deadline(0.0, float("inf"), lambda: 0.0))
    store = NotingStore(store_of(artifact), visit)
    reranker = reranker_of(model_of(artifact, store), worker)

    answer = await reranker.rerank(parse_request(json.dumps(body_of(artifact)).encode()), visit)

    assert store.encoded
    assert answer["degraded"] == []


class RefreshingStore(LateStore):
    """While it looks a user up, the item table is refreshed: fewer items, other places."""

    def __init__(self, inner: UserStore, items: ItemHolder) -> None:
        self.inner, self.items = inner, items

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        for _ in range(3):
            await asyncio.sleep(0)
        held = self.items.table
        kept = slice(2, 12, 2)
        self.items.swap(
            replace(
                held,
                ids=held.ids[kept],
                rows=held.rows[kept],
                numbers={name: column[kept] for name, column in held.numbers.items()},
                display={name: column[kept] for name, column in held.display.items()},
            )
        )
        return await self.inner.fetch_user(user_id, timeout_s=timeout_s)


async def test_items_that_are_refreshed_while_the_store_looks_are_those_of_the_next_request(
    artifact, worker
):
    weights = ManifestObjective(value_field="price")
    manifest = artifact.manifest.model_copy(update={"objective": weights})
    body = body_of(artifact, objective={"click": 0.0, "value": 1.0})
    calm = await ask(reranker_of(model_of(artifact, manifest=manifest), worker), body)
    items = ItemHolder(artifact.items)
    store = RefreshingStore(store_of(artifact), items)
    model = model_of(artifact, store, manifest=manifest, items=items)

    answer = await ask(reranker_of(model, worker), body)

    assert len(items.table.ids) == 5
    assert (answer["items"], answer["reward"]) == (calm["items"], calm["reward"])
