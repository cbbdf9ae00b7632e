"""Ends a run of graphs at its deadline while the thread that could look at the time is inside it.

Arming costs two writes: the thread here sleeps until the deadline it saw last and looks again then,
so it is woken only for an earlier one, or after a time without runs. A timer a run would be two
switches of threads a request.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Protocol


class Stoppable(Protocol):
    """Graphs of one job."""

    def stop(self) -> None:
        """End a run that is going on; safe from any thread, and harmless after it."""
        ...


@dataclass(slots=True)
class _Run:
    graphs: Stoppable
    ends: float  # monotonic seconds
    stopped: bool = False


class Watchdog:
    """Guards one run at a time, of one thread."""

    def __init__(self) -> None:
        self._run: _Run | None = None
        self._looks_at = math.inf  # by itself
        self._bell = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def guard(self, graphs: Stoppable, left_s: float) -> None:
        """Stop these graphs in `left_s` unless they are released before."""
        run = self._run = _Run(graphs, time.monotonic() + left_s)
        if run.ends < self._looks_at:
            self._bell.set()

    def release(self) -> None:
        """The run is over."""
        self._run = None

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._bell.set()
        self._thread.join(timeout=5.0)

    def _watch(self) -> None:
        while not self._closed:
            self._bell.clear()
            left_s = self._look()
            if left_s is None or left_s > 0:
                self._bell.wait(left_s)

    def _look(self) -> float | None:
        """Stop what is late; seconds until the next look, None for "when the bell rings".

        A function of its own: nothing of a run, and so of its artifact, is held while it sleeps.
        """
        run = self._run
        late_at = math.inf if run is None or run.stopped else run.ends
        self._looks_at = late_at
        if self._run is not run:
            return 0.0  # armed by somebody who did not see when we look: look again
        if run is None or run.stopped:
            return None
        left_s = late_at - time.monotonic()
        if left_s <= 0:
            run.stopped = True
            run.graphs.stop()
        return left_s
