"""When a connection is read. What its bytes mean is the protocol's.

uvicorn reads on whenever an application asks for a body or has answered, whatever came already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sized

from uvicorn.protocols.http.flow_control import FlowControl


class BoundedFlow(FlowControl):
    """Reading that holds still while requests wait, and can end before the connection does."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting
        self._ended = False

    def end_reading(self) -> None:
        """Nothing that comes now is read."""
        self._ended = True
        self.pause_reading()

    def resume_reading(self) -> None:
        """Read on, unless one request waits for another's answer or reading has ended."""
        if self.read_paused and not self._waiting and not self._ended:
            super().resume_reading()
