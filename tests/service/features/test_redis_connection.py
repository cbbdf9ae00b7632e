"""The open connection: valid replies, timeouts and the limit on pending commands."""

import asyncio
import statistics
import time
import tracemalloc
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest
import uvloop
from redis.exceptions import InvalidResponse, RedisError

from model.contract.store.user_record import UserRecord, pack_user_record
from service.features.embedded_redis import LOOPBACK_HOST
from service.features.redis_connection import MAX_PENDING_COMMANDS, RedisConnection, encode_command
from tests.service.features.loopback_servers import loopback_server

AMPLE_S = 2.0
CLOCK_STEP_S = 0.002  # loops round timers to milliseconds
GET = encode_command(b"GET", b"a")


@asynccontextmanager
async def connected_to(handle, stall_timeout_s=AMPLE_S, made=RedisConnection):
    async with loopback_server(handle) as url:
        loop, port = asyncio.get_running_loop(), urlsplit(url).port
        assert port is not None
        _, line = await loop.create_connection(lambda: made(stall_timeout_s), LOOPBACK_HOST, port)
        try:
            yield line
        finally:
            line.close()


async def say_nothing(reader, writer):
    while await reader.read(65536):
        pass


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_redis_connection_send_after_close_raises(run):
    reported = []

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(
            lambda _, what: reported.append(what["message"])
        )
        async with connected_to(say_nothing) as line:
            line.close()
            for _ in range(3):
                with pytest.raises(ConnectionResetError):
                    line.send(GET)
                await asyncio.sleep(0)

    run(scenario())
    assert not [message for message in reported if "never retrieved" in message]


def saying(reply):
    async def answer(reader, writer):
        while sent := await reader.read(65536):
            writer.write(reply * sent.count(b"GET"))

    return answer


@pytest.mark.parametrize(
    "reply",
    [
        b"$1_0\r\n0123456789\r\n",
        b"$ 1 \r\nA\r\n",
        b"$+1\r\nA\r\n",
        b"$-7\r\n",
        b"$-01\r\n",
        b"$1\r\nABC",  # not closed where its length says
        b"$%d\r\n" % (2 << 20),  # waiting for so much would hold it all
    ],
)
async def test_redis_connection_malformed_bulk_string_is_an_error(reply):
    async with connected_to(saying(reply)) as line, asyncio.timeout(AMPLE_S):
        with pytest.raises(InvalidResponse):
            await line.send(GET)
        assert line.closed


async def test_redis_connection_largest_user_record_is_read():
    most = 255  # sessions, slots and columns are counted in one byte each
    record = UserRecord(
        written_at_ms=1,
        user_columns=np.arange(most, dtype=np.int32),
        item_keys=np.arange(most * most, dtype=np.uint64).reshape(most, most),
        clicked=np.ones((most, most), np.int8),
        converted=np.zeros((most, most), np.int8),
    )
    blob = pack_user_record(record, "00" * 8)
    async with connected_to(saying(b"$%d\r\n%b\r\n" % (len(blob), blob))) as line:
        async with asyncio.timeout(AMPLE_S):
            read = await asyncio.gather(line.send(GET), line.send(GET))
    assert list(read) == [blob, blob]


async def test_redis_connection_long_reply_is_not_recopied():
    held, piece = 500_000, b"x" * 16
    async with connected_to(say_nothing) as line:
        reply = line.send(GET)
        line.data_received(b"$600000\r\n" + b"x" * held)
        line.data_received(piece)
        costs = []
        tracemalloc.start()
        try:
            for _ in range(9):  # one of them may find that what holds them must grow
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                line.data_received(piece)
                costs.append(tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
        line.data_received(b"x" * (600_000 - held - 10 * len(piece)) + b"\r\n")
        assert await reply == b"x" * 600_000
    assert statistics.median(costs) < held / 10


@pytest.mark.parametrize(("stall_timeout_s", "dropped"), [(0.0, True), (AMPLE_S, False)])
async def test_redis_connection_too_many_pending_commands_raises(stall_timeout_s, dropped):
    async with connected_to(say_nothing, stall_timeout_s) as line:
        asked = [line.send(GET) for _ in range(MAX_PENDING_COMMANDS)]
        assert not line.closed
        with pytest.raises(RedisError, match=str(MAX_PENDING_COMMANDS)):
            line.send(GET)
        assert line.closed is dropped
        line.close()
        ended = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(error) for error in ended} == {ConnectionResetError}


async def test_redis_connection_commands_time_out_independently():
    ended = []
    waits = {"long": 0.06, "short": 0.01, "between": 0.03}

    async def ask(line, name):
        began = line._loop.time()
        with pytest.raises(TimeoutError):
            await line.send(GET, waits[name])
        assert line._loop.time() - began >= waits[name] - CLOCK_STEP_S
        ended.append(name)

    async with connected_to(say_nothing) as line, asyncio.timeout(AMPLE_S):
        unbounded = line.send(GET)
        await asyncio.gather(*(ask(line, name) for name in waits))
        assert not line.closed
        assert not unbounded.done()
    assert ended == sorted(waits, key=lambda name: waits[name])
    with pytest.raises(ConnectionResetError):
        await unbounded


async def test_redis_connection_cancelled_command_keeps_other_timeouts():
    async with connected_to(say_nothing) as line, asyncio.timeout(AMPLE_S):
        gone, waits = line.send(GET, 0.01), line.send(GET, 0.02)
        gone.cancel()
        with pytest.raises(TimeoutError):
            await waits
        assert gone.cancelled()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_redis_connection_timer_never_fires_early(run):
    """Timeouts between two milliseconds, the resolution of uvloop's clock and timers."""
    asks, looks, early = 40, [], []

    class Counting(RedisConnection):
        def _expire_commands(self):
            looks.append(self._loop.time())
            super()._expire_commands()

    async def ask(line, wait_s):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await line.send(GET, wait_s)
        early.append(time.monotonic() - began < wait_s - CLOCK_STEP_S)

    async def scenario():
        async with connected_to(say_nothing, made=Counting) as line, asyncio.TaskGroup() as asked:
            for at in range(asks):
                asked.create_task(ask(line, 0.0102 + at * 0.00037))
                await asyncio.sleep(0.0013)

    run(scenario())
    assert early == [False] * asks
    assert len(looks) <= asks
