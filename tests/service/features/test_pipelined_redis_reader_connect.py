"""How the shared connection is opened while Redis refuses, hangs or is away."""

import asyncio
import time

import pytest
from redis.exceptions import ResponseError

from service.features.pipelined_redis_reader import PipelinedRedisReader
from tests.service.features.loopback_servers import loopback_server

AMPLE_S, PAUSE_S, BUDGET_S = 2.0, 0.1, 0.03
ASKS = 400


async def refuse(reader, writer):
    while sent := await reader.read(65536):
        writer.write(b"-WRONGPASS no\r\n" * sent.count(b"AUTH"))


async def turn_away(reader, writer):
    writer.write(b"-ERR max number of clients reached\r\n")


async def hang_up(reader, writer):
    pass


@pytest.mark.parametrize(
    ("handle", "user"),
    [(refuse, ":secret@"), (hang_up, ":secret@"), (hang_up, ""), (turn_away, "")],
)
async def test_redis_reader_failed_connect_pauses_attempts(handle, user):
    met = []

    async def counted(reader, writer):
        met.append(1)
        await handle(reader, writer)

    async with loopback_server(counted) as url:
        reader = PipelinedRedisReader(url.replace("//", f"//{user}"), reconnect_pause_s=PAUSE_S)
        began = time.monotonic()
        for _ in range(ASKS):
            with pytest.raises((ResponseError, OSError)):
                await reader.get("a", AMPLE_S)
        spent = time.monotonic() - began
        await reader.close()
    assert 1 <= len(met) <= 1 + spent / PAUSE_S < ASKS / 4


async def test_redis_reader_reconnects_after_the_pause():
    met = []

    async def back_at_the_third(reader, writer):
        met.append(1)
        while sent := await reader.read(65536):
            if b"AUTH" in sent:
                writer.write(b"-LOADING still\r\n" if len(met) < 3 else b"+OK\r\n")
            else:
                writer.write(b"$1\r\nA\r\n")

    async with loopback_server(back_at_the_third) as url:
        reader = PipelinedRedisReader(url.replace("//", "//:secret@"), reconnect_pause_s=PAUSE_S)
        failed, value = 0, None
        async with asyncio.timeout(AMPLE_S):
            while value is None:
                try:
                    value = await reader.get("a", AMPLE_S)
                except ResponseError:
                    failed += 1
        await reader.close()
    assert (value, len(met)) == (b"A", 3)
    assert failed > 2  # within a pause too


async def test_redis_reader_lost_connection_reconnects_without_pause():
    gone = asyncio.Event()

    async def answer_once(reader, writer):
        await reader.read(65536)
        writer.write(b"$1\r\nA\r\n")
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with loopback_server(answer_once) as url:
        reader = PipelinedRedisReader(url, reconnect_pause_s=60.0)
        for _ in range(3):
            assert await reader.get("a", AMPLE_S) == b"A"
            await gone.wait()
            gone.clear()
            for _ in range(3):  # the reader sees it, as it would between requests
                await asyncio.sleep(0)
        await reader.close()


async def test_redis_reader_close_fails_waiting_fetches():
    met = asyncio.Event()

    async def hang(reader, writer):
        met.set()
        await asyncio.Event().wait()

    async with loopback_server(hang) as url:
        reader = PipelinedRedisReader(url.replace("//", "//:secret@"))
        waiting = [asyncio.ensure_future(reader.get("a", AMPLE_S)) for _ in range(2)]
        await met.wait()
        await reader.close()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in ended] == [ConnectionAbortedError] * 2
