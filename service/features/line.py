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

Reply = bytes | None
MOST_WAITING = 1000  # commands without a reply
_LONGEST_LINE = 1024  # of a reply that is no blob, and of a blob's length
_LONGEST_BLOB = 1 << 20  # a user's record has 651,294 bytes at most
_BLOB, _ERROR, _PLAIN = b"$-+"
_NIL = b"-1"  # the length of a blob that is not there
_LOST = "the connection to Redis is lost"


def command(*words: bytes) -> bytes:
    """A command as it is sent."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


# a command under way: its reply, when it was sent, until when who asked waits (the loop's clock)
_Asked = tuple[asyncio.Future[Reply], float, float]


class Line(asyncio.Protocol):
    """An open connection, until `lost`.

    answered: whether a command has been, by anything but an error.
    """

    def __init__(self, late_s: float) -> None:
        self.lost = self.answered = False
        self._loop = asyncio.get_running_loop()
        self._late_s = late_s
        self._waiting: deque[_Asked] = deque()
        self._held = bytearray()  # of a reply that is not whole yet
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = math.inf  # not before that it goes off

    def ask(self, sent: bytes, timeout_s: float = math.inf) -> asyncio.Future[Reply]:
        """Send a command; its reply, or TimeoutError. It may be given up by cancelling it.

        Raises one of STORE_ERRORS when it can not be sent.
        """
        if self.lost:
            raise ConnectionResetError(_LOST)
        if len(self._waiting) >= MOST_WAITING:
            self.drop_if_late()  # there may be no fetch left that would look
            raise RedisError(f"{MOST_WAITING} commands to Redis are unanswered")
        self._transport.write(sent)
        reply: asyncio.Future[Reply] = self._loop.create_future()
        now = self._loop.time()
        ends = now + timeout_s
        self._waiting.append((reply, now, ends))
        if ends < self._looks_at:
            self._look_at(ends)
        return reply

    def drop_if_late(self) -> None:
        """Drop when the oldest command, given up or not, has no reply for longer than `late_s`.

        Not the silence counts: one that always answers, but too late, would never be left.
        """
        if self._waiting and self._loop.time() - self._waiting[0][1] > self._late_s:
            self.drop()

    def drop(self, why: Exception | None = None) -> None:
        """Close at once; whoever waits hears why."""
        if not self.lost:
            self.lost = True
            self._transport.abort()
        for reply, _, _ in self._pending():
            reply.set_exception(why or ConnectionResetError(_LOST))
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._looks_at = None, math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready; a peer that vanishes is noticed by the system."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def eof_received(self) -> None:
        """The far end says goodbye."""
        self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """The far end is gone."""
        self.drop(exc)

    def data_received(self, data: bytes) -> None:
        """Settle those whose replies are whole; bytes that are no reply end the connection."""
        held: bytes | bytearray = data
        if self._held:
            self._held += data
            held = self._held
        at = 0
        try:
            while at < len(held) and not self.lost:
                at, left = self._read(held, at), at
                if at == left:
                    break
        except ValueError:
            self.drop(InvalidResponse("bytes that are no reply of Redis"))
        if held is data:
            self._held += data[at:]
        else:
            del self._held[:at]

    def _read(self, held: bytes | bytearray, at: int) -> int:
        """Settle the reply that begins here; where it ends, or `at` while it is not whole."""
        end = held.find(b"\r\n", at, at + _LONGEST_LINE)
        if end < 0:
            if len(held) - at >= _LONGEST_LINE:
                raise ValueError
            return at
        kind, text, after = held[at], bytes(held[at + 1 : end]), end + 2
        outcome: Reply | Exception = text
        if kind == _BLOB:
            outcome = None
            if text != _NIL:
                outcome = _blob(held, after, text)
                if outcome is None:
                    return at
                after += len(outcome) + 2
        elif kind == _ERROR:
            outcome = ResponseError(text[:40].decode("ascii", "replace"))
        elif kind != _PLAIN:
            raise ValueError
        self._settle(outcome)
        return after

    def _settle(self, outcome: Reply | Exception) -> None:
        if not self._waiting:
            raise ValueError
        reply, _, _ = self._waiting.popleft()
        if reply.done():
            return  # whoever asked has given up
        if isinstance(outcome, Exception):
            reply.set_exception(outcome)
        else:
            self.answered = True
            reply.set_result(outcome)

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at = max(when, math.ceil(when * 1e3) / 1e3)
        self._timer = self._loop.call_at(self._looks_at, self._look)

    def _look(self) -> None:
        """Whose time is over waits no longer; then the next one's turn."""
        now = max(self._loop.time(), self._looks_at)  # a clock may be a step behind its own timers
        self._timer, self._looks_at = None, math.inf
        late = [reply for reply, _, ends in self._pending() if ends <= now]
        for reply in late:
            reply.set_exception(TimeoutError())
        if late:
            self.drop_if_late()
        first = min((ends for _, _, ends in self._pending()), default=math.inf)
        if first < math.inf:
            self._look_at(first)

    def _pending(self) -> list[_Asked]:
        return [asked for asked in self._waiting if not asked[0].done()]


def _blob(held: bytes | bytearray, begin: int, length: bytes) -> bytes | None:
    """The blob that begins there, None while it is not whole."""
    if not length.isdigit() or (size := int(length)) > _LONGEST_BLOB:
        raise ValueError
    end = begin + size
    if len(held) < end + 2:
        return None
    if not held.startswith(b"\r\n", end):
        raise ValueError
    return bytes(held[begin:end])
