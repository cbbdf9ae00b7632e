"""How long a connection may stay without a request, kept by one timer a connection.

uvicorn sets a timer after each answer and cancels it at the next request; this looks again when its
only one goes off, and costs a request two writes.
"""

from __future__ import annotations

import asyncio
import math


class IdleWatch:
    """Closes a connection that is idle for too long.

    since: when it became so, on the loop's clock; infinite while it is not.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limit_s: float
    ) -> None:
        self.since = math.inf
        self._transport, self._loop, self._limit_s = transport, loop, limit_s
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Idle from now on."""
        self.since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit_s, self._look)

    def end(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self.since == math.inf:
            return  # the end of what runs sets the timer anew
        left_s = self.since + self._limit_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        elif not self._transport.is_closing():
            self._transport.close()
