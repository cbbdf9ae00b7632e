"""Several worker processes on one listening socket. A dead one is replaced; signals go to all.

The socket belongs to no worker, so connections that wait in it outlive one that is killed.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

from service.settings import Settings
from service.telemetry.structured_logs import log_event

_RESTART_S = 1.0  # between two starts of the same worker
_POLL_S = 0.2
_LATE_S = 5.0  # beyond drain and grace, before a worker is killed


class Supervisor:
    """Keeps the workers running until it is told to stop."""

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings, self._listening = settings, listening
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._started: dict[int, float] = {}
        self._stop = threading.Event()

    def run(self) -> int:
        """0 when every worker ended in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        for index in range(self._settings.workers):
            self._start(index)
        while not self._stop.wait(_POLL_S):
            self._replace_dead()
        return self._end()

    def _start(self, index: int) -> None:
        fd = self._listening.fileno()
        command = [sys.executable, "-m", "service.main", "--worker", str(index), "--fd", str(fd)]
        self._workers[index] = subprocess.Popen(command, pass_fds=(fd,))
        self._started[index] = time.monotonic()

    def _replace_dead(self) -> None:
        for index, worker in self._workers.items():
            if worker.poll() is not None and time.monotonic() - self._started[index] > _RESTART_S:
                log_event("error", "worker_exited", worker=index, status=worker.returncode)
                self._start(index)

    def _end(self) -> int:
        self._signal(signal.SIGTERM)
        until = time.monotonic() + self._settings.drain_s + self._settings.grace_s + _LATE_S
        for index, worker in self._workers.items():
            try:
                worker.wait(timeout=max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log_event("error", "worker_killed", worker=index)
                worker.kill()
                worker.wait()
        return max((abs(worker.returncode) for worker in self._workers.values()), default=0)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            if worker.poll() is None:
                worker.send_signal(number)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self._signal(signal.SIGHUP)


def supervise(settings: Settings, listening: socket.socket) -> int:
    """Run `settings.workers` processes until SIGTERM or SIGINT."""
    log_event("info", "listening", port=listening.getsockname()[1], workers=settings.workers)
    return Supervisor(settings, listening).run()
