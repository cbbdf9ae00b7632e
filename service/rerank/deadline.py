"""The deadline of a request. Every step gets the remaining time from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]  # monotonic seconds


@dataclass(slots=True)  # not frozen: a frozen class makes one extra call for each field
class Deadline:
    """Start and end of a request on a monotonic clock, in seconds."""

    began: float
    ends: float
    clock: Clock = time.monotonic

    def left_s(self) -> float:
        """Seconds left; negative after the deadline."""
        return self.ends - self.clock()

    def spent_s(self) -> float:
        """Seconds since the request began."""
        return self.clock() - self.began

    def earlier(self, seconds: float) -> Deadline:
        """The same deadline, ending `seconds` sooner, which reserves time for later steps."""
        return Deadline(self.began, self.ends - seconds, self.clock)
