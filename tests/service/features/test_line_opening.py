"""How the shared connection is opened while Redis refuses, hangs or is away."""

import asyncio
import time

import pytest
from redis.exceptions import ResponseError

from service.features.line_reader import LineReader
from tests.service.features.peers import serving

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
async def test_a_redis_that_gives_no_answer_is_not_dialed_by_every_fetch(handle, user):
    met = []

    async def counted(reader, writer):
        met.append(1)
        await handle(reader, writer)

    async with serving(counted) as url:
        reader = LineReader(url.replace("//", f"//{user}"), pause_s=PAUSE_S)
        began = time.monotonic()
        for _ in range(ASKS):
            with pytest.raises((ResponseError, OSError)):
                await reader.get("a", AMPLE_S)
        spent = time.monotonic() - began
        await reader.close()
    assert 1 <= len(met) <= 1 + spent / PAUSE_S < ASKS / 4


async def test_after_the_pause_a_redis_that_is_back_is_read():
    met = []

    async def back_at_the_third(reader, writer):
        met.append(1)
        while sent := await reader.read(65536):
            if b"AUTH" in sent:
                writer.write(b"-LOADING still\r\n" if len(met) < 3 else b"+OK\r\n")
            else:
                writer.write(b"$1\r\nA\r\n")

    async with serving(back_at_the_third) as url:
        reader = LineReader(url.replace("//", "//:secret@"), pause_s=PAUSE_S)
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


async def test_a_connection_that_was_lost_after_it_had_answered_is_replaced_without_a_pause():
    gone = asyncio.Event()

    async def answer_once(reader, writer):
        await reader.read(65536)
        writer.write(b"$1\r\nA\r\n")
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with serving(answer_once) as url:
        reader = LineReader(url, pause_s=60.0)
        for _ in range(3):
            assert await reader.get("a", AMPLE_S) == b"A"
            await gone.wait()
            gone.clear()
            for _ in range(3):  # the reader sees it, as it would between requests
                await asyncio.sleep(0)
        await reader.close()


async def test_fetches_that_wait_for_a_connection_meet_its_closing_as_a_store_error():
    met = asyncio.Event()

    async def hang(reader, writer):
        met.set()
        await asyncio.Event().wait()

    async with serving(hang) as url:
        reader = LineReader(url.replace("//", "//:secret@"))
        waiting = [asyncio.ensure_future(reader.get("a", AMPLE_S)) for _ in range(2)]
        await met.wait()
        await reader.close()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in ended] == [ConnectionAbortedError] * 2
