"""Cancels work for a client that has disconnected."""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.types import Receive


class ClientDisconnected(Exception):
    """The client disconnected before its response."""


class CancelledOnDisconnect:
    """A `with` block that is cancelled when the client disconnects; raises ClientDisconnected.

    The body has been received: the next ASGI message but body parts is `http.disconnect`.
    """

    __slots__ = ("_disconnected", "_receive", "_task", "_watcher")

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be cancelled")
        self._receive, self._disconnected = receive, False
        self._task: asyncio.Task[object] = task

    def __enter__(self) -> None:
        self._watcher = asyncio.create_task(self._watch())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watcher.cancel()
        # A cancellation from outside at the same time stays one.
        if self._disconnected and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise ClientDisconnected from None

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._disconnected = True
        self._task.cancel()
