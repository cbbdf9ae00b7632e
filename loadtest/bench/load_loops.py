"""The benchmark's load generator: a closed loop for throughput, open Poisson arrivals for latency.

Not locust's client: event loops round timers up to a millisecond, half of a request's latency.
`select` takes microseconds. Latency counts from the time at which a request was due. It measures
the same as `wrk`; docs/benchmarks/serving.md has both side by side.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from loadtest.load_shapes import LoadShape
from loadtest.poisson import poisson_arrivals

MAX_CONNECTIONS = 200  # connections; an arrival beyond them is a failure
_PLAIN = b'"degraded":[]'
_LATE_S = 10.0
_LOOKS = 20  # a stalled machine uses up one of them, not the whole wait for a server


@dataclass(slots=True)
class LoopResult:
    """Outcome of one run; times in seconds.

    longest_stall_s: longest time in which a request was due and the load generator did not run. A
        host that pauses the machine pauses server and load at once and reports no steal time.
    """

    latencies: list[float] = field(default_factory=list)
    send_lags: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    degraded: int = 0
    answered_in_run: int = 0
    duration_s: float = 0.0
    client_cpu_s: float = 0.0
    longest_stall_s: float = 0.0

    @property
    def answers(self) -> int:
        """Number of requests answered with a list."""
        return len(self.latencies)

    @property
    def throughput(self) -> float:
        """Answers per second of the run."""
        return self.answered_in_run / self.duration_s

    @property
    def failed(self) -> int:
        """Number of requests without a list."""
        return self.failures.total()


class _Connection:
    """One kept connection with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=_LATE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._held = b""

    def fileno(self) -> int:
        """File descriptor, for select."""
        return self.sock.fileno()

    def send(self, body: bytes, due: float) -> None:
        """Send one request."""
        head = b"POST /rerank HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        self.sock.sendall(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.due, self._held = due, b""

    def read(self) -> tuple[int, bytes] | None:
        """Status and body of a complete answer; raises ConnectionError when it is cut off."""
        got = self.sock.recv(65_536)
        if not got:
            raise ConnectionResetError
        self._held += got
        end = self._held.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._held[:end].lower()
        size = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        if len(self._held) < end + 4 + size:
            return None
        return int(head[9:12]), self._held[end + 4 :]


class LoadLoops:
    """Load on one service; keeps its connections between runs."""

    def __init__(self, port: int, bodies: Sequence[bytes]) -> None:
        self._port, self._bodies = port, bodies
        self._at = 0
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._silent = 0  # looks, one after another

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def run_closed(self, seconds: float, connections: int) -> LoopResult:
        """Each connection sends its next request as soon as the previous one is answered."""
        heard = self._drop_closed_connections()
        began, cpu = time.perf_counter(), time.process_time()
        ends = began + seconds
        for _ in range(connections):
            self._dispatch(time.perf_counter(), heard)
        while self._busy:
            for _ in range(self._read_ready(heard, _LATE_S, ends)):
                now = time.perf_counter()
                if now < ends:
                    self._dispatch(now, heard)
        heard.duration_s, heard.client_cpu_s = seconds, time.process_time() - cpu
        return heard

    def run_open(self, seconds: float, rate: float, rng: random.Random) -> LoopResult:
        """Send requests when they are due, independent of the answers to earlier ones."""
        heard = self._drop_closed_connections()
        due_times = poisson_arrivals(LoadShape(rate=rate, duration_s=seconds), rng)
        began, cpu = time.perf_counter(), time.process_time()
        ends = began + seconds
        due, now = _next(due_times, began), began
        while due is not None or self._busy:
            before, now = now, time.perf_counter()
            if due is not None and now >= due:
                heard.longest_stall_s = max(heard.longest_stall_s, now - max(due, before))
                self._dispatch(due, heard)
                due = _next(due_times, began)
                continue
            self._read_ready(heard, _LATE_S if due is None else due - now, ends)
        heard.duration_s, heard.client_cpu_s = seconds, time.process_time() - cpu
        return heard

    def close(self) -> None:
        """Close all connections, idle or waiting for an answer."""
        for line in [*self._idle, *self._busy]:
            line.sock.close()
        self._idle.clear()
        self._busy.clear()

    def _drop_closed_connections(self) -> LoopResult:
        """Drop connections that the server closed since the last run; no request failed on them."""
        gone, _, _ = select.select(self._idle, [], [], 0.0)
        for line in gone:
            self._idle.remove(line)
            line.sock.close()
        self._silent = 0
        return LoopResult()

    def _dispatch(self, due: float, heard: LoopResult) -> None:
        if not self._idle and len(self._busy) >= MAX_CONNECTIONS:
            heard.failures["not sent"] += 1
            return
        line = self._idle.pop() if self._idle else _Connection(self._port)
        body = self._bodies[self._at % len(self._bodies)]
        self._at += 1
        heard.send_lags.append(time.perf_counter() - due)
        line.send(body, due)
        self._busy.add(line)

    def _read_ready(self, heard: LoopResult, wait_s: float, ends: float) -> int:
        """Read answers that arrive within the wait; the number of answers and failures."""
        look_s = _LATE_S / _LOOKS
        ready, _, _ = select.select(list(self._busy), [], [], max(0.0, min(wait_s, look_s)))
        if ready or not self._busy:
            self._silent = 0
        elif wait_s >= look_s:
            self._silent += 1
            if self._silent >= _LOOKS:
                raise TimeoutError(f"{len(self._busy)} connections heard nothing for {_LATE_S} s")
        done = 0
        for line in ready:
            try:
                answer = line.read()
            except OSError as error:
                self._busy.discard(line)
                line.sock.close()
                heard.failures[type(error).__name__] += 1
                done += 1
                continue
            if answer is None:
                continue
            self._busy.discard(line)
            self._idle.append(line)
            _count(heard, line, answer, ends)
            done += 1
        return done


def _count(heard: LoopResult, line: _Connection, answer: tuple[int, bytes], ends: float) -> None:
    now = time.perf_counter()
    status, body = answer
    if status != 200:
        heard.failures[f"HTTP {status}"] += 1
        return
    heard.latencies.append(now - line.due)
    heard.answered_in_run += now <= ends
    heard.degraded += _PLAIN not in body


def _next(due_times: Iterator[float], began: float) -> float | None:
    due = next(due_times, None)
    return None if due is None else began + due
