"""A client that hangs up ends the work, whichever way the server tells of it."""

import asyncio
from collections.abc import Callable

import pytest
from starlette.types import Message, Scope

from service.api.bodies import ClientGone
from service.api.hang_up import HANG_UP, watch
from service.api.interrupt import Interruptible


class Client:
    """What a server knows of one connection."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.told: Callable[[], None] | None = None

    async def receive(self) -> Message:
        return await self.messages.get()

    def tell(self, callback: Callable[[], None] | None) -> None:
        self.told = callback

    def hang_up(self, scope: Scope) -> None:
        """As a server with our extension does it, and as any other."""
        self.messages.put_nowait({"type": "http.request", "body": b"pipelined", "more_body": False})
        self.messages.put_nowait({"type": "http.disconnect"})
        if "extensions" in scope and self.told is not None:
            self.told()


@pytest.fixture
def client():
    return Client()


@pytest.fixture(params=["by receive", "by our protocol"])
def scope(request, client):
    tells = request.param == "by our protocol"
    return {"extensions": {HANG_UP: {"tell": client.tell}}} if tells else {"type": "http"}


async def work(scope: Scope, client: Client, wait_s: float) -> str:
    with Interruptible() as block:
        unwatch = watch(scope, client.receive, block)
        try:
            return await asyncio.sleep(wait_s, "done")
        finally:
            unwatch()


async def test_the_work_of_who_hangs_up_ends_where_it_waits(scope, client):
    task = asyncio.create_task(work(scope, client, 5.0))
    await asyncio.sleep(0)
    client.hang_up(scope)

    with pytest.raises(ClientGone):
        await asyncio.wait_for(task, 1.0)


async def test_who_hangs_up_after_the_work_disturbs_nobody(scope, client):
    assert await work(scope, client, 0) == "done"
    client.hang_up(scope)

    assert await asyncio.sleep(0.01, "undisturbed") == "undisturbed"
    assert client.told is None
