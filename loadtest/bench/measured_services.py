"""Measured services as child processes; each is a context manager that ends its process."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
from loadtest.bench.mosec_variables import ARTIFACT_VARIABLE, REDIS_VARIABLE, WORKERS_VARIABLE

RELIST, BEFORE, MOSEC = "relist", "before", "mosec"
REFERENCE, REFERENCE_ONE_THREAD = "reference", "reference, 1 thread"
SERVICE_MODULE = ("service.cli.main", "serve")  # `relist serve`
_START_S = 180.0  # on a busy machine; seconds on an idle one


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierTree:
    """Another checkout.

    command: Python arguments that start its service.
    artifact: the same artifact in that checkout's manifest format.
    """

    path: Path
    command: tuple[str, ...]
    artifact: Path


class MeasuredService:
    """One HTTP service as a child process on given cores, which binds a loopback port itself.

    The command is a list of arguments of this Python interpreter.
    """

    def __init__(  # keyword-only after the third
        self,
        name: str,
        command: Sequence[str],
        cores: Collection[int],
        *,
        port: int,
        environment: Mapping[str, object] | None = None,
        tree: Path = ROOT,
        ready_path: str = "/health/ready",
    ) -> None:
        self.name, self.port = name, port
        self._command, self._cores, self._tree = command, cores, tree
        self._ready_path = ready_path
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RERANK_")}
        added = {name: str(value) for name, value in (environment or {}).items()}
        self._environment = inherited | added | {"PYTHONPATH": str(tree)}

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
        """Process ids that serve requests."""
        return child_pids(self._process.pid) or [self._process.pid]

    def cpu_s(self) -> float:
        """CPU time so far, in seconds."""
        return sum(process_cpu_seconds(pid) for pid in self.pids)

    def run_queue_wait_s(self) -> float:
        """Time so far in which a thread was ready and another one ran, in seconds."""
        return sum(run_queue_wait_seconds(pid) for pid in self.pids)

    def steal_s(self) -> float:
        """Time so far that the host took from its cores, in seconds."""
        return sum(map(core_steal_seconds, self._cores))

    def graph_cpu_s(self) -> float | None:
        """CPU time inside ONNX Runtime so far, in seconds; None where it is not counted."""
        try:
            text = self._get("/metrics")
        except OSError:
            return None
        found = [line for line in text.splitlines() if line.startswith(GRAPH_CPU_METRIC + " ")]
        return float(found[0].split()[1]) if found else None

    def _start(self) -> subprocess.Popen[bytes]:
        with child_affinity(self._cores):
            return subprocess.Popen(
                [sys.executable, *self._command],
                cwd=self._tree,
                env=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Linux schedules by session: in this one it would share the load's CPU time.
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self._process.returncode}")
            # a connection to a free port of the ephemeral range can connect to itself
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._ready():
                    return
            time.sleep(0.1)
        raise TimeoutError(f"{self.name} was not ready within {_START_S} s")

    def _ready(self) -> bool:
        return bool(self._get(self._ready_path))

    def _get(self, path: str, port: int | None = None) -> str:
        address = f"http://127.0.0.1:{port or self.port}{path}"
        with urllib.request.urlopen(address, timeout=5.0) as answer:
            return str(answer.read().decode())


def free_port() -> int:
    """A loopback port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def service_environment(
    artifact: Path, redis_url: str, port: int, **settings: object
) -> dict[str, object]:
    """Environment variables of one process of the service; `settings` without RERANK_."""
    chosen = {"artifact_dir": artifact, "redis_url": redis_url, "log_level": "warning"}
    chosen |= {"host": "127.0.0.1", "port": port} | settings
    return {f"RERANK_{name.upper()}": value for name, value in chosen.items()}


def relist_service(
    artifact: Path,
    redis_url: str,
    cores: Collection[int],
    name: str = RELIST,
    *,
    counts_graph_time: bool = True,
) -> MeasuredService:
    """One process of the service with default settings.

    counts_graph_time: whether to count the CPU time inside ONNX Runtime.
    """
    port = free_port()
    counter = ["loadtest.bench.graph_cpu_time"] if counts_graph_time else []
    command = ["-m", *counter, *SERVICE_MODULE]
    environment = service_environment(artifact, redis_url, port)
    return MeasuredService(name, command, cores, port=port, environment=environment)


def earlier_service(
    redis_url: str, cores: Collection[int], earlier: EarlierTree
) -> MeasuredService:
    """One process of the service of another checkout, on the same graphs and store."""
    port = free_port()
    environment = service_environment(earlier.artifact, redis_url, port)
    return MeasuredService(
        BEFORE, earlier.command, cores, port=port, environment=environment, tree=earlier.path
    )


class MultiWorkerService(MeasuredService):
    """The service with several workers."""

    def __init__(self, artifact: Path, redis_url: str, cores: Collection[int], count: int) -> None:
        self._count = count
        port = free_port()  # the next `count` are likely free too
        environment = service_environment(
            artifact, redis_url, port, workers=count, metrics_port=port + 1
        )
        super().__init__(
            f"{RELIST}, {count} workers",
            ["-m", *SERVICE_MODULE],
            cores,
            port=port,
            environment=environment,
        )

    def _ready(self) -> bool:
        """Whether each worker is ready, by its own port: any of them answers the shared one."""
        texts = [self._get("/metrics", self.port + 1 + at) for at in range(self._count)]
        return all("\nrerank_ready 1.0" in text for text in texts)


def start_reference(
    artifact: Path, redis_url: str, cores: Collection[int], *, threads: int = 0
) -> MeasuredService:
    """The plain reference service; `threads` of ONNX Runtime, 0 for its default."""
    port = free_port()
    module = ["-m", "loadtest.bench.reference_service"]
    options = {"artifact": artifact, "redis": redis_url, "port": port, "threads": threads}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    name = REFERENCE_ONE_THREAD if threads == 1 else REFERENCE
    return MeasuredService(name, [*module, *words], cores, port=port)


def start_mosec(artifact: Path, redis_url: str, cores: Collection[int]) -> MeasuredService:
    """The same graphs behind mosec, one worker per core."""
    port = free_port()
    return MeasuredService(
        MOSEC,
        ["-m", "loadtest.bench.mosec_service", "--address", "127.0.0.1", "--port", str(port)],
        cores,
        port=port,
        environment={
            ARTIFACT_VARIABLE: artifact,
            REDIS_VARIABLE: redis_url,
            WORKERS_VARIABLE: len(cores),
        },
        ready_path="/",
    )
