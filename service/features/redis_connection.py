"""One connection to Redis that all fetches share: commands leave at once, replies come in order.

Why not the client's pool: a GET through it takes 62 us of CPU with four at a time and 80 alone,
over this 21 and 37 (in turn, uvloop). And whoever gives up there closes a connection and the next
one opens another, which under load is a storm; here a late reply is read and dropped. Understands
what GET, PING, AUTH and SELECT are answered with, and no other reply.

One timer for all who wait, set for whoever gives up first: under load it goes off a hundred times a
second, where one a fetch was set and cancelled 850 times. It goes off at a whole millisecond, for
uvloop's clock knows no finer ones and would go off at one end again and again until it has passed:
who gives up does so up to 1 ms late by that clock, which itself is up to 1 ms slow.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from typing import cast

from redis.exceptions import InvalidResponse, RedisError, ResponseError

RedisReply = bytes | None
MAX_PENDING_COMMANDS = 1000  # commands without a reply
_MAX_LINE_BYTES = 1024  # of a reply that is no blob, and of a blob's length
_MAX_BULK_BYTES = 1 << 20  # a user's record has 651,294 bytes at most
_BULK, _ERROR, _SIMPLE = b"$-+"
_NULL_LENGTH = b"-1"  # the length of a blob that is not there
_CONNECTION_LOST = "the connection to Redis is lost"


def encode_command(*arguments: bytes) -> bytes:
    """A command as it is sent."""
    return b"*%d\r\n" % len(arguments) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in arguments)


# a command under way: its reply, when it was sent, until when who asked waits (the loop's clock)
_PendingCommand = tuple[asyncio.Future[RedisReply], float, float]


class RedisConnection(asyncio.Protocol):
    """An open connection, until `closed`.

    answered: whether a command has been, by anything but an error.
    """

    def __init__(self, stall_timeout_s: float) -> None:
        self.closed = self.has_replied = False
        self._loop = asyncio.get_running_loop()
        self._stall_timeout_s = stall_timeout_s
        self._commands: deque[_PendingCommand] = deque()
        self._buffer = bytearray()  # of a reply that is not whole yet
        self._timeout_handle: asyncio.TimerHandle | None = None
        self._timeout_at = math.inf  # not before that it goes off

    def send(self, encoded: bytes, timeout_s: float = math.inf) -> asyncio.Future[RedisReply]:
        """Send a command; its reply, or TimeoutError. It may be given up by cancelling it.

        Raises one of REDIS_ERRORS when it can not be sent.
        """
        if self.closed:
            raise ConnectionResetError(_CONNECTION_LOST)
        if len(self._commands) >= MAX_PENDING_COMMANDS:
            self.close_if_stalled()  # there may be no fetch left that would look
            raise RedisError(f"{MAX_PENDING_COMMANDS} commands to Redis are unanswered")
        self._transport.write(encoded)
        reply: asyncio.Future[RedisReply] = self._loop.create_future()
        now = self._loop.time()
        ends = now + timeout_s
        self._commands.append((reply, now, ends))
        if ends < self._timeout_at:
            self._arm_timeout(ends)
        return reply

    def close_if_stalled(self) -> None:
        """Drop when the oldest command, given up or not, has no reply for longer than `late_s`.

        Not the silence counts: one that always answers, but too late, would never be left.
        """
        if self._commands and self._loop.time() - self._commands[0][1] > self._stall_timeout_s:
            self.close()

    def close(self, error: Exception | None = None) -> None:
        """Close at once; whoever waits hears why."""
        if not self.closed:
            self.closed = True
            self._transport.abort()
        for reply, _, _ in self._unresolved():
            reply.set_exception(error or ConnectionResetError(_CONNECTION_LOST))
        self._commands.clear()
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
            self._timeout_handle, self._timeout_at = None, math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready; a peer that vanishes is noticed by the system."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def eof_received(self) -> None:
        """The far end says goodbye."""
        self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The far end is gone."""
        self.close(exc)

    def data_received(self, data: bytes) -> None:
        """Settle those whose replies are whole; bytes that are no reply end the connection."""
        held: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            held = self._buffer
        at = 0
        try:
            while at < len(held) and not self.closed:
                at, left = self._parse_reply(held, at), at
                if at == left:
                    break
        except ValueError:
            self.close(InvalidResponse("bytes that are no reply of Redis"))
        if held is data:
            self._buffer += data[at:]
        else:
            del self._buffer[:at]

    def _parse_reply(self, held: bytes | bytearray, at: int) -> int:
        """Settle the reply that begins here; where it ends, or `rate_at` while it is not whole."""
        end = held.find(b"\r\n", at, at + _MAX_LINE_BYTES)
        if end < 0:
            if len(held) - at >= _MAX_LINE_BYTES:
                raise ValueError
            return at
        kind, text, after = held[at], bytes(held[at + 1 : end]), end + 2
        outcome: RedisReply | Exception = text
        if kind == _BULK:
            outcome = None
            if text != _NULL_LENGTH:
                outcome = _parse_bulk_string(held, after, text)
                if outcome is None:
                    return at
                after += len(outcome) + 2
        elif kind == _ERROR:
            outcome = ResponseError(text[:40].decode("ascii", "replace"))
        elif kind != _SIMPLE:
            raise ValueError
        self._resolve_next(outcome)
        return after

    def _resolve_next(self, outcome: RedisReply | Exception) -> None:
        if not self._commands:
            raise ValueError
        reply, _, _ = self._commands.popleft()
        if reply.done():
            return  # whoever asked has given up
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
        """Whose time is over waits no longer; then the next one's turn."""
        now = max(
            self._loop.time(), self._timeout_at
        )  # a clock may be a step behind its own timers
        self._timeout_handle, self._timeout_at = None, math.inf
        late = [reply for reply, _, ends in self._unresolved() if ends <= now]
        for reply in late:
            reply.set_exception(TimeoutError())
        if late:
            self.close_if_stalled()
        first = min((ends for _, _, ends in self._unresolved()), default=math.inf)
        if first < math.inf:
            self._arm_timeout(first)

    def _unresolved(self) -> list[_PendingCommand]:
        return [asked for asked in self._commands if not asked[0].done()]


def _parse_bulk_string(held: bytes | bytearray, begin: int, length: bytes) -> bytes | None:
    """The blob that begins there, None while it is not whole."""
    if not length.isdigit() or (size := int(length)) > _MAX_BULK_BYTES:
        raise ValueError
    end = begin + size
    if len(held) < end + 2:
        return None
    if not held.startswith(b"\r\n", end):
        raise ValueError
    return bytes(held[begin:end])
