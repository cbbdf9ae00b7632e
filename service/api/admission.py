"""How many requests are let in: some in flight, some waiting, the rest refused at once.

Decided from counts alone, before a byte of the body is read. First in, first out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType

from service.errors import Overloaded, ShuttingDown
from service.telemetry import service_metrics


class Admission:
    """Places of one process; used on the event loop's thread only."""

    def __init__(self, *, max_inflight: int, max_waiting: int) -> None:
        self._max_inflight, self._max_waiting = max_inflight, max_waiting
        service_metrics.MAX_REQUESTS.labels("in_flight").set(max_inflight)
        service_metrics.MAX_REQUESTS.labels("waiting").set(max_waiting)
        self._admitted = 0  # in flight or waiting
        self._in_flight = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._closed = False
        # read when somebody looks, not written three times a request
        service_metrics.IN_FLIGHT_REQUESTS.set_function(lambda: self._in_flight)
        service_metrics.WAITING_REQUESTS.set_function(lambda: self._admitted - self._in_flight)

    @property
    def in_flight(self) -> int:
        """Requests being worked on."""
        return self._in_flight

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def enter(self) -> Visitor:
        """Let one request in; raises Overloaded or ShuttingDown."""
        if self._closed:
            raise ShuttingDown
        if self._admitted >= self._max_inflight + self._max_waiting:
            raise Overloaded(in_flight=self._in_flight, waiting=self._admitted - self._in_flight)
        self._admitted += 1
        return Visitor(self)

    def take_free(self) -> bool:
        """Take a place in flight if one is free; then nobody waits for one."""
        if self._in_flight >= self._max_inflight:
            return False
        self._in_flight += 1
        return True

    async def take_turn(self) -> None:
        """Wait for a place in flight, and take it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn  # who wakes us has kept our place
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_place()
            raise

    def leave(self, *, was_in_flight: bool) -> None:
        """One request is gone."""
        self._admitted -= 1
        if was_in_flight:
            self._give_place()

    def _give_place(self) -> None:
        """Hand a place in flight to the first who still waits, or free it."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._in_flight -= 1


class Visitor:
    """One admitted request; leaving the `with` block gives its place back."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._in_flight = False

    def go(self) -> bool:
        """Take a place in flight if one is free."""
        self._in_flight = self._admission.take_free()
        return self._in_flight

    async def turn(self, within_s: float) -> None:
        """Wait for a place in flight, for `within_s` at most.

        Who has none by then goes on without: no time is left for the model, so that all it still
        does is to answer in input order. It keeps counting as waiting.
        """
        if self.go():
            return
        try:
            async with asyncio.timeout(max(0.0, within_s)):
                await self._admission.take_turn()
        except TimeoutError:
            return
        self._in_flight = True

    def __enter__(self) -> Visitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._admission.leave(was_in_flight=self._in_flight)
