"""A real HTTP server that answers every request with the same list after a fixed time.

Counts who is inside at once and when each came. Started as a program it serves until it is killed:
`python tests/loadtest/canned_server.py PORT`, to measure the load generator against.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from types import TracebackType
from typing import Self

ANSWER = {
    "request_id": "r",
    "items": [{"item_id": "a", "slot": 0, "input_slot": 0, "p_click": 0.5}],
    "degraded": [],
}


class CannedServer:
    """Serves on a thread of its own while the block lasts."""

    def __init__(self, *, delay_s: float = 0.0, status: int = 200, port: int = 0, **answer) -> None:
        body = json.dumps(ANSWER | answer, separators=(",", ":")).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n"
        self._answer = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        self._delay_s, self._loop = delay_s, asyncio.new_event_loop()
        self._port, self.port = port, 0
        self.arrival_times: list[float] = []
        self.bodies: list[bytes] = []
        self.in_flight = self.max_in_flight = 0
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(5.0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self._port, backlog=1024)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                at = head.lower().find(b"content-length: ")
                size = int(head[at + 16 : head.index(b"\r", at)]) if at > 0 else 0
                body = await reader.readexactly(size)
                if size:
                    await self._wait(body)
                writer.write(self._answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _wait(self, body: bytes) -> None:
        self.arrival_times.append(time.monotonic())
        self.bodies.append(body)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        self.in_flight -= 1


if __name__ == "__main__":
    with CannedServer(port=int(sys.argv[1])):
        threading.Event().wait()
