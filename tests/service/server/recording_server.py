"""A real server on a thread, in front of an application that records its requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, Self

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from service.server.http_limits import ConnectionTracking, LimitedHttpProtocol

WAIT_S = 5.0  # a test that waits so long has failed
BUFFER_BYTES = 1 << 19

Answer = tuple[int, dict[str, str], Any]  # status, headers, body


class RecordingServer:
    """A server on its own thread."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.answer_s = 0.02
        self.draining = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._server = uvicorn.Server(
            uvicorn.Config(
                ConnectionTracking(self._app, is_draining=lambda: self.draining),
                http=LimitedHttpProtocol,
                interface="asgi3",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                timeout_keep_alive=75,
            )
        )
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=WAIT_S)
        self._listening.close()

    def connect(self) -> socket.socket:
        """A connection whose own buffer is known."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        made.settimeout(WAIT_S)
        made.connect(self._listening.getsockname())
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def answers(self, *writes: bytes) -> list[Answer]:
        """Everything that comes back until the server closes."""
        with self.connect() as connection:
            for at, raw in enumerate(writes):
                if at:
                    self._until_read()
                connection.sendall(raw)
            return list(parsed(until_closed(connection)))

    def _until_read(self) -> None:
        """Two turns of the server: what was written before is a read of its own."""
        with self.connect() as other:
            for _ in range(2):
                other.sendall(b"GET /turn HTTP/1.1\r\nhost: x\r\n\r\n")
                other.recv(4096)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._server.serve(sockets=[self._listening]))

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        if scope["path"] != "/early":  # which answers before it has read anything
            received = await self._body(receive)
            if received is None:
                return
            body = received
            await asyncio.sleep(self.answer_s)
        if scope["path"] != "/turn":
            self.asked.append((scope["method"], scope["path"], body))
        answer = json.dumps({"path": scope["path"], "body": body.decode()[:100]}).encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _body(self, receive: Receive) -> bytes | None:
        """None when the client left."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body, more = body + message["body"], message["more_body"]
        return body


def until_closed(connection: socket.socket) -> bytes:
    """What comes before the server closes."""
    came = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(1 << 16):
            came += more
    return came


def parsed(came: bytes) -> Iterator[Answer]:
    """Answers one after another, each as long as it says itself."""
    while came:
        head, _, came = came.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers["content-length"])
        yield int(first.split()[1]), headers, json.loads(came[:size])
        came = came[size:]
