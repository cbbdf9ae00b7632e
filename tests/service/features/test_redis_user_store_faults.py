"""A Redis that is dead, paused, slow, invalid or restarted: bounded time, declared faults only."""

import asyncio
import os
import random
import signal
import time
from contextlib import asynccontextmanager, suppress

import pytest
import uvloop
from redis import Redis

from model.contract.store.user_record import pack_user_record, user_redis_key
from service.errors import FeaturesUnavailable
from service.features.embedded_redis import LOOPBACK_HOST
from service.features.redis_user_store import RedisUserStore
from tests.redis_fixtures import pause_redis, resume_redis, send_inline_command
from tests.service.features.loopback_servers import loopback_server
from tests.service.features.user_records import PREFIX, SCHEMA, make_user_record, records_equal

pytestmark = pytest.mark.redis

BUDGET_S = 0.05
SLACK_S = 0.25  # of a busy test machine; the budget itself is a fifth of it
AMPLE_S = 2.0


def fill(server):
    with Redis.from_url(server.url) as client:
        client.set(user_redis_key(PREFIX, "ann"), pack_user_record(make_user_record(0), SCHEMA))


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


async def test_redis_user_store_recovers_after_server_restart(
    private_redis,
):
    server = private_redis
    fill(server)
    async with opened(server.url) as store:
        assert records_equal(await store.fetch_user("ann", timeout_s=AMPLE_S), make_user_record(0))
        os.kill(server.pid, signal.SIGKILL)
        faults = [await fault_of(store) for _ in range(5)]
        assert set(faults) <= {"down", "timeout"}  # a busy machine may time out first
        with pytest.raises(FeaturesUnavailable):
            await store.ping(timeout_s=BUDGET_S)
        server.stop()
        server.start()
        fill(server)
        assert records_equal(await healed(store), make_user_record(0))


async def test_redis_user_store_idle_restart_fails_no_fetch(private_redis):
    server = private_redis
    fill(server)
    async with opened(server.url, max_connections=8) as store:
        await asyncio.gather(*(store.fetch_user("ann", timeout_s=AMPLE_S) for _ in range(8)))
        server.stop()
        server.start()
        fill(server)
        for _ in range(3):  # the loop sees the closed sockets, as it would between requests
            await asyncio.sleep(0)
        for _ in range(8):
            assert records_equal(
                await store.fetch_user("ann", timeout_s=AMPLE_S), make_user_record(0)
            )


async def test_redis_user_store_paused_server_times_out(private_redis):
    server = private_redis
    fill(server)
    async with opened(server.url, max_connections=4) as store:
        assert records_equal(await store.fetch_user("ann", timeout_s=AMPLE_S), make_user_record(0))
        pause_redis(server)
        try:
            # more at once than connections: who waits for a connection is on the same clock
            faults = await asyncio.gather(*(fault_of(store) for _ in range(20)))
            assert set(faults) == {"timeout"}
        finally:
            resume_redis(server)
        assert records_equal(await healed(store), make_user_record(0))


def test_redis_user_store_paused_under_uvloop_times_out(private_redis):
    async def scenario():
        async with opened(private_redis.url) as store:
            assert records_equal(
                await store.fetch_user("ann", timeout_s=AMPLE_S), make_user_record(0)
            )
            pause_redis(private_redis)
            assert await fault_of(store) == "timeout"
            resume_redis(private_redis)
            assert records_equal(await healed(store), make_user_record(0))

    fill(private_redis)
    uvloop.run(scenario())


async def test_redis_user_store_late_reply_is_dropped(private_redis):
    server = private_redis
    with Redis.from_url(server.url) as client:
        for seed, user_id in enumerate(["ann", "bob"]):
            client.set(
                user_redis_key(PREFIX, user_id), pack_user_record(make_user_record(seed), SCHEMA)
            )
    async with opened(server.url, max_connections=1) as store:
        assert records_equal(await store.fetch_user("ann", timeout_s=AMPLE_S), make_user_record(0))
        pause_redis(server)
        assert await fault_of(store, "ann") == "timeout"
        resume_redis(server)  # the answer to ann is written now
        for _ in range(3):
            assert records_equal(
                await store.fetch_user("bob", timeout_s=AMPLE_S), make_user_record(1)
            )


async def test_redis_user_store_cancelled_fetch_keeps_connection_usable(private_redis):
    server = private_redis
    fill(server)
    async with opened(server.url, max_connections=1) as store:
        pause_redis(server)
        waiting = [asyncio.create_task(store.fetch_user("ann", timeout_s=60)) for _ in range(3)]
        await asyncio.sleep(0.02)
        for task in waiting:
            task.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(e, asyncio.CancelledError) for e in ended)
        resume_redis(server)
        assert records_equal(await store.fetch_user("ann", timeout_s=AMPLE_S), make_user_record(0))


async def test_redis_user_store_wrong_key_type_is_down(redis_server):
    fill(redis_server)
    send_inline_command(redis_server, f"LPUSH {user_redis_key(PREFIX, 'list')} x")
    async with opened(redis_server.url) as store:
        assert await fault_of(store, "list") == "down"
        assert records_equal(await store.fetch_user("ann", timeout_s=AMPLE_S), make_user_record(0))


async def test_redis_user_store_closed_port_is_down(private_redis):
    url = private_redis.url
    private_redis.stop()
    async with opened(url) as store:
        assert await fault_of(store) == "down"


async def test_redis_user_store_slow_connect_continues_in_background(
    private_redis,
):
    server = private_redis
    fill(server)
    handshake_s = 4 * BUDGET_S

    async def slow_to_open(reader, writer):
        upstream_in, upstream_out = await asyncio.open_connection(LOOPBACK_HOST, server.port)
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
    async with loopback_server(slow_to_open) as url, opened(url + "/1") as store:
        assert await fault_of(store) == "timeout"
        assert records_equal(await healed(store), make_user_record(0))


async def test_redis_user_store_garbage_reply_is_a_fault():
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

    async with loopback_server(babble) as url, opened(url) as store:
        for _ in range(150):
            with suppress(FeaturesUnavailable):  # anything else fails the test
                assert await store.fetch_user("ann", timeout_s=BUDGET_S) is None


async def test_redis_user_store_fetch_is_not_retried():
    asked = []

    async def hang_up(reader, writer):
        asked.append(await reader.read(65536))

    async with loopback_server(hang_up) as url, opened(url) as store:
        assert await fault_of(store) == "down"
        assert sum(b"GET" in sent for sent in asked) == 1
