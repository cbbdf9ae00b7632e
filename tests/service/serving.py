"""A real service process on a free port, for tests of what only a process can show."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_START_S = 180.0  # beside everything else that the tests run


def own_environment(**settings: object) -> dict[str, str]:
    """This process's variables with the service's settings, and no others of the service."""
    own = {f"RERANK_{name.upper()}": str(value) for name, value in settings.items()}
    return {k: v for k, v in os.environ.items() if not k.startswith("RERANK_")} | own


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row, below those that the system hands out itself."""
    while True:
        first = random.randrange(20_000, 32_000 - count)
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue  # one of them is taken
        return first


class Serving:
    """`relist serve` as a child process; leaving the block ends it and shows what it logged."""

    def __init__(self, artifact: Path, **settings: object) -> None:
        given = {"artifact_dir": artifact, "port": 0} | settings
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service.cli.main", "serve"],
            env=own_environment(**given),
            stderr=subprocess.PIPE,
            text=True,
        )
        self.events: list[dict[str, Any]] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0

    def __enter__(self) -> Self:
        self.port = self.wait_for("listening")["port"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(timeout=10.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(timeout=5.0)
        if self.process.stderr is not None:
            self.process.stderr.close()

    @property
    def url(self) -> str:
        """Address of the public port."""
        return f"http://127.0.0.1:{self.port}"

    def ready(self) -> Self:
        """Wait until the first artifact serves."""
        self.wait_for("ready")
        return self

    def wait_for(self, event: str, seconds: float = _START_S) -> dict[str, Any]:
        """The next line of the log with this event; fails when the process ends before it."""
        until = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(0.001, until - time.monotonic()))
            if line is None:
                raise AssertionError(f"the process ended before {event!r}: {self.events}")
            try:
                self.events.append(json.loads(line))
            except json.JSONDecodeError:
                self.events.append({"event": "not json", "line": line})
            if self.events[-1]["event"] == event:
                return self.events[-1]

    def logged(self) -> str:
        """Everything logged so far, as one text."""
        while not self._lines.empty():
            line = self._lines.get()
            self.events.append({"line": line})
        return json.dumps(self.events)

    def client(self, **options: Any) -> httpx.Client:
        """A client of the public port."""
        return httpx.Client(base_url=self.url, timeout=10.0, **options)

    def metric(self, line: str, port: int | None = None) -> float:
        """The value of one series, written as in the text format."""
        address = self.url if port is None else f"http://127.0.0.1:{port}"
        for found in httpx.get(f"{address}/metrics").text.splitlines():
            if found.startswith(line + " "):
                return float(found.rpartition(" ")[2])
        raise AssertionError(f"no series {line}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)
