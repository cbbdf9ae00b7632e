"""Reads keys of one Redis over one shared connection and reconnects by itself.

A request's time may be too short to open a connection (TLS, a far host). So a task beside the
requests opens it, with more time, and fetches wait for it within their own time.

States: disconnected, connecting, connected, paused. A fetch while disconnected starts connecting.
An attempt that led to no reply starts a pause, in which fetches fail at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from service.features.redis_address import parse_redis_url
from service.features.redis_connection import RedisConnection, RedisReply, encode_command

_CONNECT_TIMEOUT_S = 2.0  # of one attempt
_STALL_TIMEOUT_S = 1.0  # a connection whose oldest reply is overdue for longer is closed
_RECONNECT_PAUSE_S = 0.1  # far longer than an attempt takes, far shorter than a restart of Redis


class PipelinedRedisReader:
    """GET and PING; connects when first used.

    Raises RedisUrlError for a URL, option or certificate file that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        stall_timeout_s: float = _STALL_TIMEOUT_S,
        reconnect_pause_s: float = _RECONNECT_PAUSE_S,
    ) -> None:
        self._address = parse_redis_url(url)
        self._tls = self._address.build_tls_context()  # once: reading certificates takes 25 ms
        self._stall_timeout_s, self._reconnect_pause_s = stall_timeout_s, reconnect_pause_s
        self._connection: RedisConnection | None = None
        self._connect_task: asyncio.Task[RedisConnection] | None = None
        self._connect_not_before = 0.0  # end of the pause, on the clock of the loop

    def get(self, key: str, timeout_s: float) -> Awaitable[bytes | None]:
        """The value, None where there is none; raises TimeoutError, OSError or RedisError."""
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

    def _send(self, encoded: bytes, timeout_s: float) -> Awaitable[RedisReply]:
        """The reply; on an open connection its future itself, without a coroutine around it."""
        connection, limit_s = self._connection, self._address.limit_timeout(timeout_s)
        if connection is None or connection.closed:
            return self._send_when_connected(encoded, limit_s)
        return connection.send(encoded, limit_s)

    async def _send_when_connected(self, encoded: bytes, timeout_s: float) -> RedisReply:
        async with asyncio.timeout(timeout_s):
            return await (await self._wait_for_connection()).send(encoded)

    async def _wait_for_connection(self) -> RedisConnection:
        """The connection of the running attempt, or of a new one that this call starts.

        Cancelling the wait does not end the attempt. During a pause it returns the closed
        connection of the last attempt or raises that attempt's error.
        """
        attempt, now = self._connect_task, asyncio.get_running_loop().time()
        if self._connection is not None and self._connection.has_replied:
            self._connect_not_before = 0.0
        if attempt is None or (attempt.done() and now >= self._connect_not_before):
            self._connection = None
            attempt = self._connect_task = asyncio.create_task(self._open_connection())
            attempt.add_done_callback(self._start_pause)
        # Not `await attempt`: `close` cancels the attempt, which must not cancel its waiters.
        await asyncio.wait([attempt])
        if attempt.cancelled():
            raise ConnectionAbortedError("the connection to Redis was closed while it was opened")
        return attempt.result()

    def _start_pause(self, attempt: asyncio.Task[RedisConnection]) -> None:
        self._connect_not_before = asyncio.get_running_loop().time() + self._reconnect_pause_s
        if not attempt.cancelled():
            attempt.exception()  # marks it as retrieved: every waiter may have timed out

    async def _open_connection(self) -> RedisConnection:
        async with asyncio.timeout(self._address.connect_timeout_s or _CONNECT_TIMEOUT_S):
            connection = await self._connect()
            try:
                for encoded in self._handshake():
                    await connection.send(encoded)
                connection.has_replied = False  # to a fetch
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return connection

    async def _connect(self) -> RedisConnection:
        loop, address = asyncio.get_running_loop(), self._address
        if address.unix_path is not None:
            _, connection = await loop.create_unix_connection(
                self._new_connection, address.unix_path
            )
        else:
            _, connection = await loop.create_connection(
                self._new_connection, address.host, address.port, ssl=self._tls
            )
        return connection

    def _new_connection(self) -> RedisConnection:
        return RedisConnection(self._stall_timeout_s, keepalive=self._address.keepalive)

    def _handshake(self) -> list[bytes]:
        """Encoded AUTH and SELECT, as far as the URL asks for them."""
        address, commands = self._address, []
        if address.username or address.password:
            login = [address.username] if address.username else []
            login.append(address.password or "")
            commands.append(encode_command(b"AUTH", *(text.encode() for text in login)))
        if address.db:
            commands.append(encode_command(b"SELECT", b"%d" % address.db))
        return commands
