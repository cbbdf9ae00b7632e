"""When a connection is read. What its bytes mean is the protocol's.

uvicorn reads on whenever an application asks for a body or has answered, whatever came already.
"""

from __future__ import annotations

from uvicorn.protocols.http.flow_control import FlowControl


class BoundedFlow(FlowControl):
    """Reading that can end before the connection does."""

    _ended = False

    def end_reading(self) -> None:
        """Nothing that comes now is read."""
        self._ended = True
        self.pause_reading()

    def resume_reading(self) -> None:
        """Read on, unless reading has ended."""
        if self.read_paused and not self._ended:
            super().resume_reading()
