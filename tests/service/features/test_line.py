"""The open connection itself: what it takes for a reply, how long it waits, how much it takes on."""

import asyncio
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import uvloop

from service.features.line import Line, command
from tests.service.features.peers import serving

AMPLE_S = 2.0
GET = command(b"GET", b"a")


@asynccontextmanager
async def line_to(handle, *options):
    async with serving(handle) as url:
        at = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: Line(*options), at.hostname, at.port)
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
        asyncio.get_running_loop().set_exception_handler(lambda _, what: reported.append(what))
        async with line_to(say_nothing) as line:
            line.drop()
            for _ in range(3):
                with pytest.raises(ConnectionResetError):
                    line.ask(GET)
                await asyncio.sleep(0)

    run(scenario())
    assert reported == []
