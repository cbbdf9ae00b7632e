"""The processes that the benchmark measures, each a context manager that ends what it started."""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from loadtest.bench.graph_cpu_time import GRAPH_CPU_METRIC
from loadtest.bench.machine import (
    ROOT,
    child_affinity,
    child_pids,
    core_steal_seconds,
    process_cpu_seconds,
    run_queue_wait_seconds,
)
from service.server.sockets import listen

_START_S = 60.0


class MeasuredService:
    """One HTTP service as a child process on given cores, on a socket that it inherits."""

    def __init__(
        self, name: str, command: Sequence[str], cores: Collection[int], **settings: object
    ) -> None:
        self.name, self._command, self._cores = name, command, cores
        own = {f"RERANK_{key.upper()}": str(value) for key, value in settings.items()}
        self._environ = {k: v for k, v in os.environ.items() if not k.startswith("RERANK_")} | own
        self.port = 0

    def __enter__(self) -> Self:
        self._process = self._start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=20.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pids(self) -> list[int]:
        """Processes that serve."""
        return child_pids(self._process.pid) or [self._process.pid]

    def cpu_s(self) -> float:
        """CPU time so far."""
        return sum(process_cpu_seconds(pid) for pid in self.pids)

    def run_queue_wait_s(self) -> float:
        """Time so far in which it was ready and something else ran."""
        return sum(run_queue_wait_seconds(pid) for pid in self.pids)

    def steal_s(self) -> float:
        """Time so far that the host took from its cores."""
        return sum(map(core_steal_seconds, self._cores))

    def graph_cpu_s(self) -> float | None:
        """CPU time inside ONNX Runtime so far; None for one that does not count it."""
        try:
            text = self._get("/metrics")
        except OSError:
            return None
        found = [line for line in text.splitlines() if line.startswith(GRAPH_CPU_METRIC + " ")]
        return float(found[0].split()[1]) if found else None

    def _start(self) -> subprocess.Popen[bytes]:
        with listen("127.0.0.1", 0) as listening:
            self.port = listening.getsockname()[1]
            return self._launch((listening.fileno(),))

    def _launch(self, inherited: tuple[int, ...]) -> subprocess.Popen[bytes]:
        given = [word for fd in inherited for word in ("--fd", str(fd))]
        with child_affinity(self._cores):
            return subprocess.Popen(
                [sys.executable, *self._command, *given],
                cwd=ROOT,
                env=self._environ,
                pass_fds=inherited,
                stderr=subprocess.DEVNULL,
                # of its own, or Linux lets it share one group's time with the load and the store
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self._process.returncode}")
            # a free port that is asked before anyone listens may be given to the asker itself
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._ready():
                    return
            time.sleep(0.1)
        raise TimeoutError(f"{self.name} was not ready within {_START_S} s")

    def _ready(self) -> bool:
        return bool(self._get("/health/ready"))

    def _get(self, path: str, port: int | None = None) -> str:
        address = f"http://127.0.0.1:{port or self.port}{path}"
        with urllib.request.urlopen(address, timeout=5.0) as answer:
            return str(answer.read().decode())


def relist_service(
    artifact: Path, redis_url: str, cores: Collection[int], name: str = "relist", **settings: object
) -> MeasuredService:
    """One process of the service as it is shipped, every default on."""
    # `--worker 0` serves on the inherited socket as a supervised worker does.
    command = ["-m", "loadtest.bench.graph_cpu_time", "--worker", "0"]
    given = {"artifact_dir": artifact, "redis_url": redis_url, "log_level": "warning"} | settings
    return MeasuredService(name, command, cores, **given)


class MultiWorkerService(MeasuredService):
    """The service with several workers, which binds its own port."""

    def __init__(self, artifact: Path, redis_url: str, cores: Collection[int], count: int) -> None:
        self._count = count
        with listen("127.0.0.1", 0) as free:  # and `count` more after it, most likely free too
            port = free.getsockname()[1]
        super().__init__(
            f"ours, {count} workers",
            ["-m", "service.cli.main", "serve"],
            cores,
            artifact_dir=artifact,
            redis_url=redis_url,
            log_level="warning",
            workers=count,
            port=port,
            metrics_port=port + 1,
        )
        self.port = port

    def _start(self) -> subprocess.Popen[bytes]:
        return self._launch(())

    def _ready(self) -> bool:
        """Each worker says so itself: the shared port is answered by any of them."""
        texts = [self._get("/metrics", self.port + 1 + at) for at in range(self._count)]
        return all("\nrerank_ready 1.0" in text for text in texts)


def start_reference(
    artifact: Path, redis_url: str, cores: Collection[int], *, threads: int = 0
) -> MeasuredService:
    """The plain service; `threads` of ONNX Runtime, 0 for its default."""
    name = f"reference, {threads} thread" if threads else "reference"
    command = [
        "-m",
        "loadtest.bench.reference_service",
        "--artifact",
        str(artifact),
        "--redis",
        redis_url,
    ]
    return MeasuredService(name, [*command, "--threads", str(threads)], cores)
