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

from service.features.redis_connection import RedisConnection, RedisReply, encode_command

_CONNECT_TIMEOUT_S = 2.0  # of one attempt
_STALL_TIMEOUT_S = 1.0  # a connection on which a reply is overdue for so long is given up
_RECONNECT_PAUSE_S = 0.1  # far more than an attempt costs, far less than a restart of Redis takes
_DEFAULT_PORT = 6379


class PipelinedRedisReader:
    """GET and PING; connects when first used. Raises ValueError for a url that can not be used."""

    def __init__(
        self,
        url: str,
        *,
        stall_timeout_s: float = _STALL_TIMEOUT_S,
        reconnect_pause_s: float = _RECONNECT_PAUSE_S,
    ) -> None:
        self._address = _parse_address(url)
        self._tls = _tls_context(self._address)  # once: reading the certificates takes 25 ms
        self._stall_timeout_s, self._reconnect_pause_s = stall_timeout_s, reconnect_pause_s
        self._connection: RedisConnection | None = None
        self._connect_task: asyncio.Task[RedisConnection] | None = None
        self._connect_not_before = (
            0.0  # no attempt before, unless a fetch has been answered since the last
        )

    def get(self, key: str, timeout_s: float) -> Awaitable[bytes | None]:
        """The value, None where there is none; raises TimeoutError or one of REDIS_ERRORS."""
        name = key.encode()
        return self._send(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name), timeout_s)

    async def ping(self, timeout_s: float) -> None:
        """Return when Redis answers; raises as `get` does."""
        await self._send(encode_command(b"PING"), timeout_s)

    async def close(self) -> None:
        """Close the connection, and the attempt to open one."""
        if self._connect_task is not None:
            self._connect_task.cancel()
            await asyncio.wait([self._connect_task])
        if self._connection is not None:
            self._connection.close()

    def _send(self, sent: bytes, timeout_s: float) -> Awaitable[RedisReply]:
        """The reply itself, not a coroutine around it, where a connection is open."""
        line = self._connection
        if line is None or line.closed:
            return self._send_when_connected(sent, timeout_s)
        return line.send(sent, timeout_s)

    async def _send_when_connected(self, sent: bytes, timeout_s: float) -> RedisReply:
        async with asyncio.timeout(timeout_s):
            return await (await self._wait_for_connection()).send(sent)

    async def _wait_for_connection(self) -> RedisConnection:
        """A connection, opened by whoever asks first; giving up the wait does not end the try.

        During a pause it is the last one, lost, or the error of the last attempt.
        """
        opening, now = self._connect_task, asyncio.get_running_loop().time()
        if self._connection is not None and self._connection.has_replied:
            self._connect_not_before = 0.0
        if opening is None or (opening.done() and now >= self._connect_not_before):
            self._connection = None
            opening = self._connect_task = asyncio.create_task(self._open_connection())
            opening.add_done_callback(self._start_pause)
        await asyncio.wait(
            [opening]
        )  # not the task itself: `within_poisson_noise` cancels it, and not who waits
        if opening.cancelled():
            raise ConnectionAbortedError("the connection to Redis was closed while it was opened")
        return opening.result()

    def _start_pause(self, attempt: asyncio.Task[RedisConnection]) -> None:
        self._connect_not_before = asyncio.get_running_loop().time() + self._reconnect_pause_s
        if not attempt.cancelled():
            attempt.exception()  # nobody may be left to hear how it went

    async def _open_connection(self) -> RedisConnection:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            line = await self._connect()
            try:
                for sent in self._handshake():
                    await line.send(sent)
                line.has_replied = False  # a fetch was not
            except BaseException:
                line.close()
                raise
        self._connection = line
        return line

    async def _connect(self) -> RedisConnection:
        loop, at = asyncio.get_running_loop(), self._address
        if "path" in at:
            _, line = await loop.create_unix_connection(self._new_connection, at["path"])
            return line
        host, port = at.get("host", "localhost"), at.get("port", _DEFAULT_PORT)
        _, line = await loop.create_connection(self._new_connection, host, port, ssl=self._tls)
        return line

    def _new_connection(self) -> RedisConnection:
        return RedisConnection(self._stall_timeout_s)

    def _handshake(self) -> list[bytes]:
        at, sent = self._address, []
        user, password = at.get("username"), at.get("password", "")
        if user or password:
            words = ([user.encode()] if user else []) + [password.encode()]
            sent.append(encode_command(b"AUTH", *words))
        if at.get("db"):
            sent.append(encode_command(b"SELECT", b"%d" % int(at["db"])))
        return sent


def _parse_address(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError:  # its text may hold a part of the password
        raise ValueError(
            "the url of Redis can not be read: its port, or an option, is no number, "
            "or a character of the password is not percent-encoded"
        ) from None


def _tls_context(address: dict[str, Any]) -> ssl.SSLContext | None:
    """By the options of the url, as the client reads them."""
    if address.get("connection_class") is not SSLConnection:
        return None
    options = {k: v for k, v in address.items() if k.startswith("ssl_")}
    try:
        return SSLConnection(**options).ssl_context.get()
    except (TypeError, ValueError, OSError, RedisError) as error:
        raise ValueError(f"the TLS options of the url of Redis can not be used: {error}") from error
