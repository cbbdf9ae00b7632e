"""Takes the connections that wait on a listening socket, many at each turn of the loop.

uvloop's server takes one a turn. Where graphs run on the loop, a run stands between two turns: 400
connections at once waited there for .84 s, before anything of ours could refuse or time them, and a
health probe behind them (.09 s with graphs on a thread; 2026-11-21).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from service.telemetry.structured_logs import log_event

MOST_A_TURN = 16  # more, and of several workers the first to wake up would take a whole burst
_PAUSE_S = 1.0  # after an error that is not one connection's, such as no more descriptors


class Acceptor:
    """One listening socket; open until it is closed."""

    def __init__(
        self, listening: socket.socket, make_protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._listening, self._make_protocol = listening, make_protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[Any]] = set()
        self._paused: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._resume()

    async def close(self) -> None:
        """Take no more. Those taken have their protocol then, and are known to the server."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listening)
        if self._opening:
            await asyncio.wait(self._opening)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listening, self._take)

    def _take(self) -> None:
        for _ in range(MOST_A_TURN):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return  # none is left, or another worker has it
            except OSError as error:
                log_event("error", "cannot_accept", error, why=str(error.strerror))
                self._loop.remove_reader(self._listening)
                self._paused = self._loop.call_later(_PAUSE_S, self._resume)
                return
            connection.setblocking(False)
            opening = self._loop.create_task(self._open(connection))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:  # it was gone before it was ours
            connection.close()
