"""Limits concurrent requests: some in flight, some waiting, the rest refused at once.

Decides from counts alone, before a body is read. First in, first out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from service.errors import Overloaded, ShuttingDown
from service.telemetry import service_metrics


class ConcurrencyLimiter:
    """Slots of one process; used on the event loop's thread only."""

    def __init__(self, *, max_inflight: int, max_waiting: int) -> None:
        self._max_inflight, self._max_waiting = max_inflight, max_waiting
        service_metrics.MAX_REQUESTS.labels("in_flight").set(max_inflight)
        service_metrics.MAX_REQUESTS.labels("waiting").set(max_waiting)
        self._admitted = 0  # in flight or waiting
        self._in_flight = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._closed = False
        # read at each scrape, instead of three writes per request
        service_metrics.IN_FLIGHT_REQUESTS.set_function(lambda: self._in_flight)
        service_metrics.WAITING_REQUESTS.set_function(lambda: self._admitted - self._in_flight)

    @property
    def in_flight(self) -> int:
        """Requests that hold a slot."""
        return self._in_flight

    def close(self) -> None:
        """Refuse every further request."""
        self._closed = True

    def acquire(self) -> Permit:
        """Admit one request; raises Overloaded or ShuttingDown."""
        if self._closed:
            raise ShuttingDown
        if self._admitted >= self._max_inflight + self._max_waiting:
            raise Overloaded(in_flight=self._in_flight, waiting=self._admitted - self._in_flight)
        self._admitted += 1
        return Permit(self)

    def take_free_slot(self) -> bool:
        """Take a slot if one is free; returns whether it did."""
        if self._in_flight >= self._max_inflight:
            return False
        self._in_flight += 1
        return True

    async def wait_for_slot(self) -> None:
        """Wait for a slot and take it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn  # the result hands over a slot that is still counted
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_slot_on()
            raise

    def release(self, *, had_slot: bool) -> None:
        """End one admitted request."""
        self._admitted -= 1
        if had_slot:
            self._pass_slot_on()

    def _pass_slot_on(self) -> None:
        """Give a slot to the first request that still waits, or free it."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._in_flight -= 1


class Permit:
    """One admitted request; leaving the `with` block releases its slot."""

    def __init__(self, limiter: ConcurrencyLimiter) -> None:
        self._limiter = limiter
        self._has_slot = False

    async def wait_for_slot(self, timeout_s: float) -> None:
        """Wait for a slot, at most `timeout_s`.

        A request without a slot continues without the model, for which no time is left, and gets
        the input order. It still counts as waiting.
        """
        if self._limiter.take_free_slot():
            self._has_slot = True
            return
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._limiter.wait_for_slot()
        except TimeoutError:
            return
        self._has_slot = True

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limiter.release(had_slot=self._has_slot)
