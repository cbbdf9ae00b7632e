"""The one deadline of a request. Every inner step gets what is left; nothing else counts time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]  # monotonic seconds


@dataclass(slots=True)  # frozen, each of its fields would cost a call
class Deadline:
    """When a request began and when it must be over, on a monotonic clock (seconds)."""

    began: float
    ends: float
    clock: Clock = time.monotonic

    def left_s(self) -> float:
        """Seconds left; negative when the deadline has passed."""
        return self.ends - self.clock()

    def spent_s(self) -> float:
        """Seconds since the request began."""
        return self.clock() - self.began

    def earlier(self, seconds: float) -> Deadline:
        """The same, ending `seconds` sooner: what a step leaves to the steps after it."""
        return Deadline(self.began, self.ends - seconds, self.clock)
