"""Runs several worker processes on one listening socket, restarts dead ones, forwards signals.

The parent owns the socket, so waiting connections outlive a killed worker. Workers end when the
parent dies: they watch a pipe whose writing end only the parent holds.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from types import FrameType

from service.server.signals import STOP_SIGNALS, sighup_blocked
from service.settings import Settings
from service.telemetry.structured_logs import log_event

_RESTART_DELAY_S = 1.0  # between two starts of the same worker
_POLL_S = 0.2
_KILL_DELAY_S = 5.0  # seconds beyond drain and grace before a worker is killed


class Supervisor:
    """Keeps the workers running until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings, self._listening = settings, listening
        self._workers: dict[int, subprocess.Popen[bytes]] = {}
        self._started: dict[int, float] = {}
        self._stop = threading.Event()
        self._alive_fd, self._held_open_fd = os.pipe()

    def run(self) -> int:
        """Run until shutdown; 0 when every worker ended in order."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        for index in range(self._settings.workers):
            self._start(index)
        while not self._stop.wait(_POLL_S):
            self._replace_dead()
        return self._end()

    def _start(self, index: int) -> None:
        fd, alive_fd = self._listening.fileno(), self._alive_fd
        command = [sys.executable, "-m", "service.cli.main", "serve"]
        command += ["--worker", str(index), "--fd", str(fd), "--parent-fd", str(alive_fd)]
        with sighup_blocked():
            self._workers[index] = subprocess.Popen(command, pass_fds=(fd, alive_fd))
        self._started[index] = time.monotonic()

    def _replace_dead(self) -> None:
        for index, worker in self._workers.items():
            ran_s = time.monotonic() - self._started[index]
            if worker.poll() is not None and ran_s > _RESTART_DELAY_S:
                log_event("error", "worker_exited", worker=index, status=worker.returncode)
                self._start(index)

    def _end(self) -> int:
        self._signal(signal.SIGTERM)
        until = time.monotonic() + self._settings.drain_s + self._settings.grace_s + _KILL_DELAY_S
        for index, worker in self._workers.items():
            try:
                worker.wait(timeout=max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log_event("error", "worker_killed", worker=index)
                worker.kill()
                worker.wait()
        return max((abs(worker.returncode) for worker in self._workers.values()), default=0)

    def _signal(self, number: signal.Signals) -> None:
        for worker in list(self._workers.values()):
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
