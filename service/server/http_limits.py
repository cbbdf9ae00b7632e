"""Limits on HTTP requests before the application sees them: bytes and time of a head, framing.

Wraps uvicorn's protocol by public hooks only: asyncio's protocol methods and ASGI messages. uvicorn
gets whole heads, and the next request of a connection after the previous response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.errors import code_of, render
from service.errors import RequestError
from service.server.request_framing import RequestFraming
from service.telemetry import service_metrics

HEAD_TIMEOUT_S = 10.0
MAX_DISCARDED_BYTES = 1 << 20  # of a body that comes after its response
_CONNECTION = "relist.connection"  # key in an ASGI scope's state


class LimitedHttpProtocol(asyncio.Protocol):
    """One connection: checks its bytes, then passes them to uvicorn's protocol."""

    def __init__(self, app_state: dict[str, Any], **arguments: Any) -> None:  # noqa: ANN401  # uvicorn's
        self._inner = HttpToolsProtocol(app_state={**app_state, _CONNECTION: self}, **arguments)
        self._loop = asyncio.get_running_loop()
        self._framing = RequestFraming()
        self._held = b""  # received, not parsed: waits for the previous response
        self._paused = self._ended = False
        self._response_started = self._response_complete = False
        self._discarded = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer of the first head."""
        self._transport = cast(asyncio.Transport, transport)
        self._inner.connection_made(self._transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer and tell uvicorn once."""
        self._stop_timer()
        if not self._ended:
            self._ended = True
            self._inner.connection_lost(exc)

    def eof_received(self) -> None:
        """Close the connection: a client that sends no more gets no response."""
        self._inner.eof_received()

    def pause_writing(self) -> None:
        """Tell uvicorn that the client reads slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Tell uvicorn that the client reads again."""
        self._inner.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Pass bytes of the current request on; hold the rest and pause reading."""
        if self._ended:
            return
        self._held += data
        self._pass_on()
        if self._held and not self._ended:
            self._paused = True
            self._transport.pause_reading()  # again where uvicorn resumed it

    def on_response_start(self, message: Message, *, draining: bool) -> Message:
        """The message, with `connection: close` where the connection cannot or may not be kept."""
        self._response_started = True
        cannot_be_kept = not self._framing.complete and (
            self._framing.expects_continue  # the client may send its next request instead
            or self._framing.left > MAX_DISCARDED_BYTES
        )
        if not draining and not cannot_be_kept:
            return message
        kept = [line for line in message.get("headers", []) if line[0].lower() != b"connection"]
        return {**message, "headers": [*kept, (b"connection", b"close")]}

    def on_response_complete(self) -> None:
        """Continue with the bytes that waited for this response."""
        self._response_complete = True
        if self._transport.is_closing():
            return
        if self._paused and self._framing.complete:
            self._paused = False
            self._transport.resume_reading()
        self._pass_on()

    def _pass_on(self) -> None:
        """Pass bytes to uvicorn, one request at a time."""
        ready: list[bytes] = []
        try:
            while self._held and not self._ended and self._next_may_begin():
                piece, self._held = self._framing.split(self._held)
                ready.append(self._framing.parse(piece))
                self._count_discarded(len(piece))
        except RequestError as error:
            self._refuse(error)
            return
        if passed := b"".join(ready):
            self._inner.data_received(passed)
        self._set_timer()

    def _next_may_begin(self) -> bool:
        """Whether the next byte may be parsed; resets the state between two requests."""
        if self._framing.complete and self._response_complete:
            self._framing.begin()
            self._response_started = self._response_complete = False
            self._discarded = 0
        return not self._framing.complete

    def _count_discarded(self, size: int) -> None:
        if self._response_complete:
            self._discarded += size
            if self._discarded > MAX_DISCARDED_BYTES:
                self._close()

    def _refuse(self, error: RequestError) -> None:
        """Respond with the error unless a response has begun, and close."""
        service_metrics.REJECTED_REQUESTS.labels(code_of(error)).inc()
        if not self._response_started:
            self._transport.write(_error_response(error))
        self._close()

    def _close(self) -> None:
        """Close, and report a disconnect to uvicorn, which cancels running work."""
        self._ended = True
        self._held = b""
        self._stop_timer()
        self._inner.connection_lost(None)  # closes the transport, after what was written

    def _set_timer(self) -> None:
        """Run the timer while part of a head, or of a body after its response, is missing."""
        late_body = self._response_complete and not self._framing.complete
        if self._framing.in_partial_head or late_body:
            self._start_timer()
        else:
            self._stop_timer()

    def _start_timer(self) -> None:
        if self._timer is None and not self._ended:
            self._timer = self._loop.call_later(HEAD_TIMEOUT_S, self._close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ConnectionTracking:
    """ASGI application that reports the start and end of responses to a LimitedHttpProtocol."""

    def __init__(self, app: ASGIApp, *, is_draining: Callable[[], bool]) -> None:
        self._app, self._is_draining = app, is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection: LimitedHttpProtocol = scope["state"].pop(_CONNECTION)

        async def send_tracked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = connection.on_response_start(message, draining=self._is_draining())
                await send(message)
                return
            await send(message)
            if not message.get("more_body", False):
                connection.on_response_complete()

        await self._app(scope, receive, send_tracked)


def _error_response(error: RequestError) -> bytes:
    """A complete HTTP response."""
    status, headers, body = render(error)
    lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
    lines += [b"%s: %s" % (name.encode(), value.encode()) for name, value in headers.items()]
    lines += [b"content-length: %d" % len(body), b"connection: close", b"", body]
    return b"\r\n".join(lines)
