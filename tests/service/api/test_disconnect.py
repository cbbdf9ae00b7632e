"""Work for a client that leaves is cancelled where it waits."""

import asyncio

import pytest
from starlette.types import Message

from service.api.disconnect import CancelledOnDisconnect, ClientDisconnected


class Client:
    """The receiving side of one connection."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()

    async def receive(self) -> Message:
        return await self.messages.get()

    def disconnect(self) -> None:
        self.messages.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self.messages.put_nowait({"type": "http.disconnect"})


async def work(client: Client, wait_s: float) -> str:
    with CancelledOnDisconnect(client.receive):
        return await asyncio.sleep(wait_s, "done")


async def test_cancelled_on_disconnect_ends_waiting_work():
    client = Client()
    task = asyncio.create_task(work(client, 5.0))
    await asyncio.sleep(0)
    client.disconnect()

    with pytest.raises(ClientDisconnected):
        await asyncio.wait_for(task, 1.0)
    assert task.cancelling() == 0


async def test_cancelled_on_disconnect_after_the_work_does_nothing():
    client = Client()

    assert await work(client, 0) == "done"
    client.disconnect()

    assert await asyncio.sleep(0.01, "undisturbed") == "undisturbed"


async def test_cancelled_on_disconnect_passes_errors_of_the_work():
    with pytest.raises(ZeroDivisionError), CancelledOnDisconnect(Client().receive):
        await asyncio.sleep(0, 1 / 0)


async def test_cancelled_on_disconnect_keeps_cancellation_from_outside():
    client = Client()
    task = asyncio.create_task(work(client, 5.0))
    await asyncio.sleep(0)
    client.disconnect()
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
