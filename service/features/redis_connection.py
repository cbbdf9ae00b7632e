"""One connection to Redis shared by all fetches: commands are pipelined, replies come in order.

A late reply is read and dropped, so a timed-out fetch costs no connection; a pool closes the
connection of every fetch that times out. Parses the replies of GET, PING, AUTH and SELECT only.

One timer serves all pending commands and is set to the earliest timeout. It fires at whole
milliseconds, the resolution of uvloop's clock; a finer one would fire repeatedly before its time.
So a timeout is noticed up to 2 ms late.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from typing import NamedTuple, cast

from redis.exceptions import InvalidResponse, RedisError, ResponseError

RedisReply = bytes | None
MAX_PENDING_COMMANDS = 1000  # commands without a reply
_MAX_LINE_BYTES = 1024  # of a simple string, an error, or the length of a bulk string
_MAX_BULK_BYTES = 1 << 20  # a user's record has 651,294 bytes at most
_BULK, _ERROR, _SIMPLE = b"$-+"
_NULL_LENGTH = b"-1"  # length of a bulk string that stands for "no value"
_CONNECTION_LOST = "the connection to Redis is lost"


def encode_command(*arguments: bytes) -> bytes:
    """The bytes of a command on the wire (RESP array of bulk strings)."""
    bulks = (b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments)
    return b"*%d\r\n" % len(arguments) + b"".join(bulks)


class _PendingCommand(NamedTuple):
    """A command without a reply; times are of the loop's clock, in seconds."""

    reply: asyncio.Future[RedisReply]
    sent_at: float
    expires_at: float


class RedisConnection(asyncio.Protocol):
    """A connection, open until `closed`.

    closed:      no command can be sent.
    has_replied: some command had a reply other than an error.

    Args:
        stall_timeout_s: `close_if_stalled` closes when the oldest reply is missing for longer.
        keepalive: whether to set TCP keepalive, by which the system notices a lost peer.
    """

    def __init__(self, stall_timeout_s: float, *, keepalive: bool = True) -> None:
        self.closed = self.has_replied = False
        self._loop = asyncio.get_running_loop()
        self._stall_timeout_s, self._keepalive = stall_timeout_s, keepalive
        self._commands: deque[_PendingCommand] = deque()
        self._buffer = bytearray()  # of an incomplete reply
        self._timeout_handle: asyncio.TimerHandle | None = None
        self._timeout_at = math.inf  # when the timer fires

    def send(self, encoded: bytes, timeout_s: float = math.inf) -> asyncio.Future[RedisReply]:
        """Send a command; the future of its reply, TimeoutError after `timeout_s`.

        The future may be cancelled; its reply is dropped then.

        Raises:
            ConnectionResetError: the connection is closed.
            RedisError: MAX_PENDING_COMMANDS commands have no reply.
        """
        if self.closed:
            raise ConnectionResetError(_CONNECTION_LOST)
        if len(self._commands) >= MAX_PENDING_COMMANDS:
            self.close_if_stalled()  # every pending command may be cancelled, with no timer set
            raise RedisError(f"{MAX_PENDING_COMMANDS} commands to Redis are unanswered")
        self._transport.write(encoded)
        reply: asyncio.Future[RedisReply] = self._loop.create_future()
        now = self._loop.time()
        expires_at = now + timeout_s
        self._commands.append(_PendingCommand(reply, now, expires_at))
        if expires_at < self._timeout_at:
            self._arm_timeout(expires_at)
        return reply

    def close_if_stalled(self) -> None:
        """Close when the oldest command, cancelled or not, waits longer than `stall_timeout_s`.

        Not the silence counts: a server that always replies too late would never be left.
        """
        if self._commands and self._loop.time() - self._commands[0].sent_at > self._stall_timeout_s:
            self.close()

    def close(self, error: Exception | None = None) -> None:
        """Close at once; pending commands fail with `error` or ConnectionResetError."""
        if not self.closed:
            self.closed = True
            self._transport.abort()
        for command in self._unresolved():
            command.reply.set_exception(error or ConnectionResetError(_CONNECTION_LOST))
        self._commands.clear()
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
            self._timeout_handle, self._timeout_at = None, math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and set TCP keepalive."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if self._keepalive and sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def eof_received(self) -> None:
        """Close: the server sends no more replies."""
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending commands."""
        self.close(exc)

    def data_received(self, data: bytes) -> None:
        """Resolve the commands whose replies are complete; close on bytes that are no reply."""
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
        position = 0
        try:
            while position < len(buffer) and not self.closed:
                end = self._parse_reply(buffer, position)
                if end == position:
                    break
                position = end
        except ValueError:
            self.close(InvalidResponse("bytes that are no reply of Redis"))
        if buffer is data:
            self._buffer += data[position:]
        else:
            del self._buffer[:position]

    def _parse_reply(self, buffer: bytes | bytearray, start: int) -> int:
        """Resolve a command by the reply at `start`; its end, or `start` if it is incomplete.

        Raises ValueError for bytes that are no reply.
        """
        line_end = buffer.find(b"\r\n", start, start + _MAX_LINE_BYTES)
        if line_end < 0:
            if len(buffer) - start >= _MAX_LINE_BYTES:
                raise ValueError
            return start
        kind, text, end = buffer[start], bytes(buffer[start + 1 : line_end]), line_end + 2
        outcome: RedisReply | Exception = text
        if kind == _BULK:
            outcome = None
            if text != _NULL_LENGTH:
                outcome = _parse_bulk_string(buffer, end, text)
                if outcome is None:
                    return start
                end += len(outcome) + 2
        elif kind == _ERROR:
            outcome = ResponseError(text[:40].decode("ascii", "replace"))
        elif kind != _SIMPLE:
            raise ValueError
        self._resolve_next(outcome)
        return end

    def _resolve_next(self, outcome: RedisReply | Exception) -> None:
        if not self._commands:
            raise ValueError
        reply = self._commands.popleft().reply
        if reply.done():
            return  # timed out or cancelled
        if isinstance(outcome, Exception):
            reply.set_exception(outcome)
        else:
            self.has_replied = True
            reply.set_result(outcome)

    def _arm_timeout(self, when: float) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
        self._timeout_at = max(when, math.ceil(when * 1e3) / 1e3)
        self._timeout_handle = self._loop.call_at(self._timeout_at, self._expire_commands)

    def _expire_commands(self) -> None:
        """Fail pending commands whose timeout has passed, then re-arm the timer."""
        # The clock may be one step behind its own timers.
        now = max(self._loop.time(), self._timeout_at)
        self._timeout_handle, self._timeout_at = None, math.inf
        expired = [command for command in self._unresolved() if command.expires_at <= now]
        for command in expired:
            command.reply.set_exception(TimeoutError())
        if expired:
            self.close_if_stalled()
        earliest = min((command.expires_at for command in self._unresolved()), default=math.inf)
        if earliest < math.inf:
            self._arm_timeout(earliest)

    def _unresolved(self) -> list[_PendingCommand]:
        return [command for command in self._commands if not command.reply.done()]


def _parse_bulk_string(buffer: bytes | bytearray, start: int, length: bytes) -> bytes | None:
    """The bulk string whose content begins at `start`, None while it is incomplete."""
    if not length.isdigit() or (size := int(length)) > _MAX_BULK_BYTES:
        raise ValueError
    end = start + size
    if len(buffer) < end + 2:
        return None
    if not buffer.startswith(b"\r\n", end):
        raise ValueError
    return bytes(buffer[start:end])
