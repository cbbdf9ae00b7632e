"""The open connection itself: what it takes for a reply, how long it waits, for how many."""

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

from model.contract.store_layout import UserRecord, pack_user
from service.features.embedded import HOST
from service.features.line import MOST_WAITING, Line, command
from tests.service.features.peers import serving

AMPLE_S = 2.0
CLOCK_STEP_S = 0.002  # loops round timers to milliseconds
GET = command(b"GET", b"a")


@asynccontextmanager
async def line_to(handle, late_s=AMPLE_S, made=Line):
    async with serving(handle) as url:
        loop, port = asyncio.get_running_loop(), urlsplit(url).port
        assert port is not None
        _, line = await loop.create_connection(lambda: made(late_s), HOST, port)
        try:
            yield line
        finally:
            line.drop()


async def say_nothing(reader, writer):
    while await reader.read(65536):
        pass


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_asking_on_a_lost_connection_is_a_store_error_and_leaves_nothing_behind(run):
    reported = []

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(
            lambda _, what: reported.append(what["message"])
        )
        async with line_to(say_nothing) as line:
            line.drop()
            for _ in range(3):
                with pytest.raises(ConnectionResetError):
                    line.ask(GET)
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
async def test_a_blob_of_a_strange_or_huge_length_or_not_closed_is_no_reply(reply):
    async with line_to(saying(reply)) as line, asyncio.timeout(AMPLE_S):
        with pytest.raises(InvalidResponse):
            await line.ask(GET)
        assert line.lost


async def test_the_largest_record_of_the_layout_is_read_and_the_reply_after_it_too():
    most = 255  # sessions, slots and columns are counted in one byte each
    record = UserRecord(
        written_ms=1,
        columns=np.arange(most, dtype=np.int32),
        item_keys=np.arange(most * most, dtype=np.uint64).reshape(most, most),
        clicked=np.ones((most, most), np.int8),
        converted=np.zeros((most, most), np.int8),
    )
    blob = pack_user(record, "00" * 8)
    async with line_to(saying(b"$%d\r\n%b\r\n" % (len(blob), blob))) as line:
        async with asyncio.timeout(AMPLE_S):
            read = await asyncio.gather(line.ask(GET), line.ask(GET))
    assert list(read) == [blob, blob]


async def test_a_piece_of_a_long_reply_is_added_to_the_others_without_copying_them():
    held, piece = 500_000, b"x" * 16
    async with line_to(say_nothing) as line:
        reply = line.ask(GET)
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


@pytest.mark.parametrize(("late_s", "dropped"), [(0.0, True), (AMPLE_S, False)])
async def test_a_command_too_many_is_refused_and_ends_a_connection_that_is_late(late_s, dropped):
    async with line_to(say_nothing, late_s) as line:
        asked = [line.ask(GET) for _ in range(MOST_WAITING)]
        assert not line.lost
        with pytest.raises(RedisError, match=str(MOST_WAITING)):
            line.ask(GET)
        assert line.lost is dropped
        line.drop()
        ended = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(error) for error in ended} == {ConnectionResetError}


async def test_each_gives_up_in_its_own_time_whoever_asked_first():
    ended = []
    waits = {"long": 0.06, "short": 0.01, "between": 0.03}

    async def ask(line, name):
        began = line._loop.time()
        with pytest.raises(TimeoutError):
            await line.ask(GET, waits[name])
        assert line._loop.time() - began >= waits[name] - CLOCK_STEP_S
        ended.append(name)

    async with line_to(say_nothing) as line, asyncio.timeout(AMPLE_S):
        unbounded = line.ask(GET)
        await asyncio.gather(*(ask(line, name) for name in waits))
        assert not line.lost
        assert not unbounded.done()
    assert ended == sorted(waits, key=lambda name: waits[name])
    with pytest.raises(ConnectionResetError):
        await unbounded


async def test_who_gave_up_neither_hears_of_its_time_nor_keeps_others_from_theirs():
    async with line_to(say_nothing) as line, asyncio.timeout(AMPLE_S):
        gone, waits = line.ask(GET, 0.01), line.ask(GET, 0.02)
        gone.cancel()
        with pytest.raises(TimeoutError):
            await waits
        assert gone.cancelled()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_one_look_finds_whoever_set_it_and_nobody_gives_up_early(run):
    """Times that end between two milliseconds; uvloop's clock and timers know no finer steps."""
    asks, looks, early = 40, [], []

    class Counting(Line):
        def _look(self):
            looks.append(self._loop.time())
            super()._look()

    async def ask(line, wait_s):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await line.ask(GET, wait_s)
        early.append(time.monotonic() - began < wait_s - CLOCK_STEP_S)

    async def scenario():
        async with line_to(say_nothing, made=Counting) as line, asyncio.TaskGroup() as asked:
            for at in range(asks):
                asked.create_task(ask(line, 0.0102 + at * 0.00037))
                await asyncio.sleep(0.0013)

    run(scenario())
    assert early == [False] * asks
    assert len(looks) <= asks
