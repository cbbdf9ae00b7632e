"""HTTP on the wire: what stands before the first byte of a body is bounded in bytes and in time.

uvicorn's httptools protocol reads heads of any length for any time and refuses in plain text and
out of turn. Here an answer stands in its request's place or nowhere, and no body becomes a request.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.errors import Headers, code_of, render
from service.api.hang_up import HANG_UP
from service.api.whole import WHOLE
from service.errors import HeadTooLarge, MalformedHttp, MethodNotAllowed, Overloaded, RequestError
from service.main.flow import BoundedFlow
from service.main.idle import IdleWatch
from service.telemetry import service_metrics

MAX_HEAD_BYTES = 32 * 1024
HEAD_TIMEOUT_S = 10.0
MAX_PIPELINED = 8  # behind the one that runs; one read may hold thousands
_CODINGS = b"transfer-encoding"


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0  # of whole headers
    _unread_bytes = 0  # that came while the head was not whole
    _ended = False  # nothing more is read
    flow: BoundedFlow
    _when_lost: Callable[[], None] | None = None
    _idle: IdleWatch

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A connection that never sends a head is closed."""
        super().connection_made(transport)
        self.flow = BoundedFlow(transport, self.pipeline)
        self._idle = IdleWatch(transport, self.loop, self.timeout_keep_alive)
        self._extensions: dict[Any, Any] = {
            HANG_UP: {"tell": self._tell},
            WHOLE: {"body": self._whole_body, "answer": self._whole_answer},
        }
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that is too long before it is whole is refused here."""
        if self._ended:
            return
        self._idle.since = math.inf
        self._unread_bytes += len(data)  # a head that begins in this read starts again at none
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._feed_without_upgrade(data[upgrade.args[0] :])
            return
        except HttpParserError as error:  # ours too: the parser wraps what a callback raises
            why = error.__context__
            self._refuse(why if isinstance(why, RequestError) else MalformedHttp())
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
        name = name.lower()
        if name == _CODINGS and value.lower() != b"chunked":
            raise MalformedHttp("of transfer codings only chunked is read")
        if name == b"expect":  # all else that uvicorn does here is to keep the header
            super().on_header(name, value)
        else:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._forget_timer()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise Overloaded(in_flight=1, waiting=len(self.pipeline))
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The far end is gone."""
        self._forget_timer()
        self._idle.end()
        super().connection_lost(exc)
        if self._when_lost is not None:
            self._when_lost()

    def _tell(self, callback: Callable[[], None] | None) -> None:
        """Who hears that the client hung up; requests of one connection come one after another."""
        self._when_lost = callback

    def on_response_complete(self) -> None:
        """Begin the next request that waits, or be idle."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle.begin()

    def _whole_body(self, scope: Scope) -> bytes | None:
        """The body of the request that runs, when all of it is here."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.more_body or cycle.disconnected:
            return None
        self.flow.resume_reading()  # a client that hangs up is noticed by reading
        return bytes(cycle.body)

    def _whole_answer(self, scope: Scope, head: bytes, body: bytes) -> bool:
        """Write a 200 at once; False, and nothing written, where that is not possible."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.disconnected or self.flow.write_paused:
            return False
        lines = [STATUS_LINE[200], head]
        lines += [b"%b: %b\r\n" % line for line in cycle.default_headers]
        lines += [b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body]
        self.transport.write(b"".join(lines))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLarge(limit_bytes=MAX_HEAD_BYTES)

    def _should_upgrade(self) -> bool:
        """Whether a request that offers an upgrade is none yet: it comes again without."""
        return True

    def _feed_without_upgrade(self, rest: bytes) -> None:
        """Read the last head again, its offer left out, and then what came behind it.

        The parser ends a request that offers an upgrade at its head; a server may ignore the offer,
        and then a body is a body. Read as the next request it would be one that nobody sent.
        """
        method = self.scope["method"].encode()
        if method == b"CONNECT":  # asks for a tunnel by its name: there is no head without
            self._refuse(MethodNotAllowed(allowed=""))
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.scope["http_version"].encode())]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _refuse(self, error: RequestError) -> None:
        """Answer with the error, never in the place of another answer, and close."""
        service_metrics.REJECTED_REQUESTS.labels(code_of(error)).inc()
        cycle = self.cycle
        if cycle is None or (cycle.response_complete and cycle.scope is not self.scope):
            self._answer_now(error)
        elif cycle.response_complete:  # its body broke off after its answer: there is no second one
            self._ended = True
            self.transport.close()
        elif not cycle.more_body or cycle.response_started:
            self._close_after_answers()  # without this one: after a 200 it would be another's
        elif self.pipeline:  # the body that broke off belongs to the last one that waits
            self.pipeline[0] = (cycle, _answering(error))
            self._close_after_answers()
        else:
            cycle.disconnected = True  # it runs, and gets nothing more to read or to say
            cycle.message_event.set()
            self._answer_now(error)

    def _answer_now(self, error: RequestError) -> None:
        self._ended = True
        status, headers, body = _rendered(error)
        lines = [b"HTTP/1.1 %d %s" % (status, status.phrase.encode())]
        lines += [name + b": " + value for name, value in headers]
        self.transport.write(b"\r\n".join([*lines, b"connection: close", b"", body]))
        self.transport.close()

    def _close_after_answers(self) -> None:
        self._ended = True
        self._forget_timer()
        self.flow.end_reading()
        self.cycle.keep_alive = False  # the last one's answer says so and closes

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._close_late)

    def _close_late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._close_after_answers()
        elif not self.transport.is_closing():
            self.transport.close()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _rendered(error: RequestError) -> tuple[HTTPStatus, Headers, bytes]:
    status, headers, body = render(error)
    return status, [*headers, (b"content-length", b"%d" % len(body))], body


def _answering(error: RequestError) -> Callable[..., Awaitable[None]]:
    """What answers every request with the error."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = _rendered(error)
        await send({"type": "http.response.start", "status": int(status), "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer
