"""Reads keys of one Redis over one shared connection, which it opens again by itself.

A request's time may be too short to open a connection (TLS, a far host). So it is opened beside
the requests, with more time; all who find none meanwhile wait for it within their own time. After
one that gave no answer there is a pause, or each fetch would open the next.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable
from typing import Any

from redis.asyncio.connection import SSLConnection, parse_url
from redis.exceptions import RedisError

from service.features.line import Line, Reply, command

_OPEN_S = 2.0  # of one attempt
_STALE_S = 1.0  # a connection on which a reply is overdue for so long is given up
_PAUSE_S = 0.1  # far more than an attempt costs, far less than a restart of Redis takes
_DEFAULT_PORT = 6379


class LineReader:
    """GET and PING; connects when first used. Raises ValueError for a url that can not be used."""

    def __init__(self, url: str, *, stale_s: float = _STALE_S, pause_s: float = _PAUSE_S) -> None:
        self._address = _address_of(url)
        self._tls = _tls_of(self._address)  # once: reading the certificates takes 25 ms
        self._stale_s, self._pause_s = stale_s, pause_s
        self._line: Line | None = None
        self._opening: asyncio.Task[Line] | None = None
        self._rest_until = 0.0  # no attempt before, unless a fetch has been answered since the last

    def get(self, key: str, timeout_s: float) -> Awaitable[bytes | None]:
        """The value, None where there is none; raises TimeoutError or one of STORE_ERRORS."""
        name = key.encode()
        return self._ask(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name), timeout_s)

    async def ping(self, timeout_s: float) -> None:
        """Return when Redis answers; raises as `get` does."""
        await self._ask(command(b"PING"), timeout_s)

    async def close(self) -> None:
        """Close the connection, and the attempt to open one."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._line is not None:
            self._line.drop()

    def _ask(self, sent: bytes, timeout_s: float) -> Awaitable[Reply]:
        """The reply itself, not a coroutine around it, where a connection is open."""
        line = self._line
        if line is None or line.lost:
            return self._ask_opened(sent, timeout_s)
        return line.ask(sent, timeout_s)

    async def _ask_opened(self, sent: bytes, timeout_s: float) -> Reply:
        async with asyncio.timeout(timeout_s):
            return await (await self._open()).ask(sent)

    async def _open(self) -> Line:
        """A connection, opened by whoever asks first; giving up the wait does not end the try.

        During a pause it is the last one, lost, or the error of the last attempt.
        """
        opening, now = self._opening, asyncio.get_running_loop().time()
        if self._line is not None and self._line.answered:
            self._rest_until = 0.0
        if opening is None or (opening.done() and now >= self._rest_until):
            self._line = None
            opening = self._opening = asyncio.create_task(self._connect())
            opening.add_done_callback(self._rest)
        await asyncio.wait([opening])  # not the task itself: `close` cancels it, and not who waits
        if opening.cancelled():
            raise ConnectionAbortedError("the connection to Redis was closed while it was opened")
        return opening.result()

    def _rest(self, attempt: asyncio.Task[Line]) -> None:
        self._rest_until = asyncio.get_running_loop().time() + self._pause_s
        if not attempt.cancelled():
            attempt.exception()  # nobody may be left to hear how it went

    async def _connect(self) -> Line:
        async with asyncio.timeout(_OPEN_S):
            line = await self._dial()
            try:
                for sent in self._greetings():
                    await line.ask(sent)
                line.answered = False  # a fetch was not
            except BaseException:
                line.drop()
                raise
        self._line = line
        return line

    async def _dial(self) -> Line:
        loop, at = asyncio.get_running_loop(), self._address
        if "path" in at:
            _, line = await loop.create_unix_connection(self._new_line, at["path"])
            return line
        host, port = at.get("host", "localhost"), at.get("port", _DEFAULT_PORT)
        _, line = await loop.create_connection(self._new_line, host, port, ssl=self._tls)
        return line

    def _new_line(self) -> Line:
        return Line(self._stale_s)

    def _greetings(self) -> list[bytes]:
        at, sent = self._address, []
        user, password = at.get("username"), at.get("password", "")
        if user or password:
            words = ([user.encode()] if user else []) + [password.encode()]
            sent.append(command(b"AUTH", *words))
        if at.get("db"):
            sent.append(command(b"SELECT", b"%d" % int(at["db"])))
        return sent


def _address_of(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError:  # its text may hold a part of the password
        raise ValueError(
            "the url of Redis can not be read: its port, or an option, is no number, "
            "or a character of the password is not percent-encoded"
        ) from None


def _tls_of(address: dict[str, Any]) -> ssl.SSLContext | None:
    """By the options of the url, as the client reads them."""
    if address.get("connection_class") is not SSLConnection:
        return None
    options = {k: v for k, v in address.items() if k.startswith("ssl_")}
    try:
        return SSLConnection(**options).ssl_context.get()
    except (TypeError, ValueError, OSError, RedisError) as error:
        raise ValueError(f"the TLS options of the url of Redis can not be used: {error}") from error
