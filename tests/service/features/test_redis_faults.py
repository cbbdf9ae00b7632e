"""A Redis that is dead, paused, slow, strange or back again: bounded time, declared faults only."""

import asyncio
import os
import random
import signal
import time
from contextlib import asynccontextmanager, suppress

import pytest
import uvloop
from redis import Redis

from model.contract.store_layout import pack_user, user_key
from service.errors import FeaturesUnavailable
from service.features.embedded import HOST
from service.features.redis_store import RedisUserStore
from tests.redis_fixture import command, pause, resume
from tests.service.features.peers import serving
from tests.service.features.records import PREFIX, SCHEMA, same, user_record

pytestmark = pytest.mark.redis

BUDGET_S = 0.05
SLACK_S = 0.25  # of a busy test machine; the budget itself is a fifth of it
AMPLE_S = 2.0


def fill(server):
    with Redis.from_url(server.url) as client:
        client.set(user_key(PREFIX, "ann"), pack_user(user_record(0), SCHEMA))


@asynccontextmanager
async def opened(url, **options):
    store = RedisUserStore.connect(url, prefix=PREFIX, schema_hash=SCHEMA, **options)
    try:
        yield store
    finally:
        await store.close()


async def fault_of(store, user_id="ann"):
    """The fault of one fetch, which must be declared and within its time."""
    began = time.monotonic()
    with pytest.raises(FeaturesUnavailable) as caught:
        await store.fetch_user(user_id, timeout_s=BUDGET_S)
    assert time.monotonic() - began < BUDGET_S + SLACK_S
    assert caught.value.budget_ms == pytest.approx(BUDGET_S * 1e3)
    return caught.value.fault


async def healed(store, limit_s=5.0):
    """Fetch as a service would until an answer comes."""
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        try:
            return await store.fetch_user("ann", timeout_s=BUDGET_S)
        except FeaturesUnavailable:
            await asyncio.sleep(0.01)
    return None


async def test_a_killed_server_is_down_and_after_its_restart_the_store_heals_by_itself(
    redis_of_my_own,
):
    server = redis_of_my_own
    fill(server)
    async with opened(server.url) as store:
        assert same(await store.fetch_user("ann", timeout_s=AMPLE_S), user_record(0))
        os.kill(server.pid, signal.SIGKILL)
        faults = [await fault_of(store) for _ in range(5)]
        assert set(faults) == {"down"}
        with pytest.raises(FeaturesUnavailable):
            await store.ping(timeout_s=BUDGET_S)
        server.stop()
        server.start()
        fill(server)
        assert same(await healed(store), user_record(0))


async def test_connections_that_a_restart_broke_while_idle_cost_no_request(redis_of_my_own):
    server = redis_of_my_own
    fill(server)
    async with opened(server.url, connections=8) as store:
        await asyncio.gather(*(store.fetch_user("ann", timeout_s=AMPLE_S) for _ in range(8)))
        server.stop()
        server.start()
        fill(server)
        for _ in range(3):  # the loop sees the closed sockets, as it would between requests
            await asyncio.sleep(0)
        for _ in range(8):
            assert same(await store.fetch_user("ann", timeout_s=AMPLE_S), user_record(0))


async def test_a_paused_server_costs_each_request_its_budget_and_no_more(redis_of_my_own):
    server = redis_of_my_own
    fill(server)
    async with opened(server.url, connections=4) as store:
        assert same(await store.fetch_user("ann", timeout_s=AMPLE_S), user_record(0))
        pause(server)
        try:
            # more at once than connections: who waits for a connection is on the same clock
            faults = await asyncio.gather(*(fault_of(store) for _ in range(20)))
            assert set(faults) == {"timeout"}
        finally:
            resume(server)
        assert same(await healed(store), user_record(0))


def test_a_paused_server_is_bounded_under_uvloop_too(redis_of_my_own):
    async def scenario():
        async with opened(redis_of_my_own.url) as store:
            assert same(await store.fetch_user("ann", timeout_s=AMPLE_S), user_record(0))
            pause(redis_of_my_own)
            assert await fault_of(store) == "timeout"
            resume(redis_of_my_own)
            assert same(await healed(store), user_record(0))

    fill(redis_of_my_own)
    uvloop.run(scenario())


async def test_an_answer_that_comes_late_never_reaches_the_next_request(redis_of_my_own):
    server = redis_of_my_own
    with Redis.from_url(server.url) as client:
        for seed, user_id in enumerate(["ann", "bob"]):
            client.set(user_key(PREFIX, user_id), pack_user(user_record(seed), SCHEMA))
    async with opened(server.url, connections=1) as store:
        assert same(await store.fetch_user("ann", timeout_s=AMPLE_S), user_record(0))
        pause(server)
        assert await fault_of(store, "ann") == "timeout"
        resume(server)  # the answer to ann is written now
        for _ in range(3):
            assert same(await store.fetch_user("bob", timeout_s=AMPLE_S), user_record(1))


async def test_a_request_that_was_cancelled_leaves_the_only_connection_usable(redis_of_my_own):
    server = redis_of_my_own
    fill(server)
    async with opened(server.url, connections=1) as store:
        pause(server)
        waiting = [asyncio.create_task(store.fetch_user("ann", timeout_s=60)) for _ in range(3)]
        await asyncio.sleep(0.02)
        for task in waiting:
            task.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(e, asyncio.CancelledError) for e in ended)
        resume(server)
        assert same(await store.fetch_user("ann", timeout_s=AMPLE_S), user_record(0))


async def test_a_key_of_another_type_is_down_for_this_user_and_fine_for_the_next(redis_server):
    fill(redis_server)
    command(redis_server, f"LPUSH {user_key(PREFIX, 'list')} x")
    async with opened(redis_server.url) as store:
        assert await fault_of(store, "list") == "down"
        assert same(await store.fetch_user("ann", timeout_s=AMPLE_S), user_record(0))


async def test_nothing_listening_is_down_at_once(redis_of_my_own):
    url = redis_of_my_own.url
    redis_of_my_own.stop()
    async with opened(url) as store:
        assert await fault_of(store) == "down"


async def test_a_connection_that_takes_longer_than_a_request_is_still_made_in_the_background(
    redis_of_my_own,
):
    server = redis_of_my_own
    fill(server)
    handshake_s = 4 * BUDGET_S

    async def slow_to_open(reader, writer):
        upstream_in, upstream_out = await asyncio.open_connection(HOST, server.port)
        first = True
        try:
            while sent := await reader.read(65536):
                await asyncio.sleep(handshake_s if first else 0)  # SELECT is the TLS handshake here
                first = False
                upstream_out.write(sent)
                writer.write(await upstream_in.read(65536))
                await writer.drain()
        finally:
            upstream_out.close()

    with Redis.from_url(server.url) as client:
        client.select(1)
        client.execute_command("SWAPDB", 0, 1)
    async with serving(slow_to_open) as url, opened(url + "/1") as store:
        assert await fault_of(store) == "timeout"
        assert same(await healed(store), user_record(0))


async def test_bytes_that_are_no_redis_reply_are_a_declared_fault_whatever_they_are():
    rng = random.Random(7)
    starts = [
        b"$",
        b"*",
        b":",
        b"+",
        b"-",
        b"$5\r\n",
        b"$-7\r\n",
        b"*1\r\n",
        b"$x\r\n",
        b"",
        b"%1\r\n",
    ]

    async def babble(reader, writer):
        await reader.read(65536)
        writer.write(rng.choice(starts) + rng.randbytes(rng.randrange(40)) + b"\r\n")
        await writer.drain()
        writer.close()

    async with serving(babble) as url, opened(url) as store:
        for _ in range(150):
            with suppress(FeaturesUnavailable):  # anything else fails the test
                assert await store.fetch_user("ann", timeout_s=BUDGET_S) is None


async def test_a_fetch_is_one_get_and_is_not_tried_again():
    asked = []

    async def hang_up(reader, writer):
        asked.append(await reader.read(65536))

    async with serving(hang_up) as url, opened(url) as store:
        assert await fault_of(store) == "down"
        assert sum(b"GET" in sent for sent in asked) == 1
