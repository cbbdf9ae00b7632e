"""Sends requests of one process when they are due, independent of the answers to earlier ones.

Latency counts from the due time, so that neither a slow server nor a slow generator hides it (no
coordinated omission). Knows gevent, not locust.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event

from loadtest.client import RequestFailed, RerankClient
from loadtest.load_shapes import LoadShape
from loadtest.poisson import poisson_arrivals
from loadtest.run_counts import NOT_SENT, RunCounts
from loadtest.workload import Workload

SOURCE_COUNT = (
    24  # of all processes together: 1, 2, 3, 4, 6, 8, 12 or 24 processes share them evenly
)
_REPORT_S = 1.0

PublishCounts = Callable[[dict[str, Any], bool], None]
# reason (None: answered), milliseconds (None: never sent), bytes
ObserveRequest = Callable[[str | None, float | None, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderConfig:
    """Configuration of a process; `max_outstanding` is of all processes together."""

    shape: LoadShape
    workload: Workload
    max_outstanding: int
    timeout_s: float
    seed: int


class LoadSender:
    """The sources of one process and their requests in flight."""

    def __init__(
        self,
        config: SenderConfig,
        client: RerankClient,
        publish: PublishCounts,
        observe: ObserveRequest,
    ) -> None:
        self._plan, self._client = config, client
        self._publish, self._observe = publish, observe
        self._started = time.monotonic()
        self._sources = self._running = self._outstanding = 0
        self._tally = RunCounts()
        self._sources_done = Event()  # no source has more to send
        self.finished = Event()
        self._rng = random.Random(config.seed)

    def run_source(self) -> None:
        """Run one of the sources; returns at the end of the run, when no arrival is left."""
        if not self._sources:
            gevent.spawn(self._report)
        self._sources += 1
        self._running += 1
        try:
            self._send_when_due()
        finally:
            self._running -= 1
            if not self._running:
                self._sources_done.set()

    def _send_when_due(self) -> None:
        plan = self._plan
        rng = random.Random(f"{plan.seed}:{self._sources}")
        begin = time.monotonic() - self._started
        for due in poisson_arrivals(plan.shape, rng, share=1 / SOURCE_COUNT, start_s=begin):
            self._wait_until(due)
            self._dispatch(self._started + due)
        self._wait_until(plan.shape.duration_s)  # a source without arrivals does not end a run

    def _wait_until(self, due: float) -> None:
        """Sleep until due; yields even when it is late, so that other greenlets run."""
        gevent.sleep(max(0.0, self._started + due - time.monotonic()))

    def _dispatch(self, due: float) -> None:
        """Send concurrently; without a free connection the arrival fails at once."""
        self._tally.arrivals += 1
        if self._outstanding >= max(1, self._plan.max_outstanding * self._sources // SOURCE_COUNT):
            self._fail(NOT_SENT, None)
            return
        self._outstanding += 1
        gevent.spawn(self._send_request, due, self._plan.workload.sample_body(self._rng))

    def _send_request(self, due: float, body: bytes) -> None:
        self._tally.send_lag.add(time.monotonic() - due)
        try:
            size, degraded = self._client.post_body(body)
        except RequestFailed as failed:
            self._fail(failed.reason, (time.monotonic() - due) * 1e3)
            return
        finally:
            self._outstanding -= 1
        now = time.monotonic()
        tally = self._tally
        tally.latency.add(now - due)
        tally.answered_in_run += now - self._started <= self._plan.shape.duration_s
        tally.degraded_answers += bool(degraded)
        tally.degraded_reasons.update(degraded)
        self._observe(None, (now - due) * 1e3, size)

    def _fail(self, reason: str, ms: float | None) -> None:
        self._tally.failures[reason] += 1
        self._observe(reason, ms, 0)

    def _report(self) -> None:
        """Publish the counts every second, and once more when nothing is in flight."""
        while not self._sources_done.wait(_REPORT_S):
            self._publish_counts(last=False)
        until = time.monotonic() + self._plan.timeout_s + _REPORT_S
        while self._outstanding and time.monotonic() < until:
            gevent.sleep(0.01)
        self._client.close()
        self._publish_counts(last=True)
        self.finished.set()

    def _publish_counts(self, *, last: bool) -> None:
        counted, self._tally = self._tally, RunCounts()
        self._publish(counted.to_message(), last)
