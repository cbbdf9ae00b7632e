"""HTTP on the wire: what stands before the first byte of a body is bounded in bytes and in time.

uvicorn's httptools protocol reads heads of any length for any time and answers in plain text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.errors import code_of, render
from service.api.hang_up import HANG_UP
from service.errors import HeadTooLarge, MalformedHttp, Refusal
from service.telemetry import metrics

MAX_HEAD_BYTES = 32 * 1024
HEAD_TIMEOUT_S = 10.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0  # of whole headers
    _unread_bytes = 0  # that came while the head was not whole
    _refused = False
    _when_lost: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A connection that never sends a head is closed."""
        super().connection_made(transport)
        self._extensions: dict[Any, Any] = {HANG_UP: {"tell": self._tell}}
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that is too long before it is whole is refused here."""
        self._unread_bytes += len(data)  # a head that begins in this read starts again at none
        super().data_received(data)
        if self._refused:
            return
        if self._in_head and self._unread_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(limit_bytes=MAX_HEAD_BYTES))
        elif self._timer is None and (
            self._in_head  # a head that came whole never needed one
            or self.cycle.response_complete  # what came ended the wait of an idle connection
        ):
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._in_head, self._head_bytes, self._unread_bytes = True, 0, 0

    def on_url(self, url: bytes) -> None:
        """Part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._forget_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The far end is gone."""
        self._forget_timer()
        super().connection_lost(exc)
        if self._when_lost is not None:
            self._when_lost()

    def send_400_response(self, msg: str) -> None:
        """What the parser could not read gets our error shape."""
        too_large = self._head_bytes > MAX_HEAD_BYTES
        self._refuse(HeadTooLarge(limit_bytes=MAX_HEAD_BYTES) if too_large else MalformedHttp())

    def _tell(self, callback: Callable[[], None] | None) -> None:
        """Who hears that the client hung up; requests of one connection come one after another."""
        self._when_lost = callback

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError("the parser turns this into send_400_response")

    def _refuse(self, error: Refusal) -> None:
        self._refused = True
        status, headers, body = render(error)
        metrics.REFUSED.labels(code_of(error)).inc()
        lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
        lines += [name + b": " + value for name, value in headers]
        lines += [b"content-length: %d" % len(body), b"connection: close", b"", body]
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._close_late)

    def _close_late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
