"""One serving process: HTTP servers, signals and an orderly shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import time
from collections.abc import Coroutine, Generator

import uvicorn
import uvloop
from fastapi import FastAPI

from model.contract.errors import ManifestError
from model.contract.kernels.compilation import (
    CompilationReport,
    KernelImplementation,
    compile_kernels,
)
from service.composition import Service, build_service
from service.server.http_limits import ConnectionTracking, LimitedHttpProtocol
from service.server.signals import STOP_SIGNALS
from service.server.sockets import listen
from service.settings import Settings
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

KEEP_ALIVE_S = 75
# For this long an idle connection may send one more request before it is closed: 1 s.
_IDLE_CLOSE_POLLS, _IDLE_CLOSE_POLL_S = 50, 0.02


def run_process(
    settings: Settings, listening: socket.socket, index: int, parent_fd: int | None = None
) -> int:
    """Run until SIGTERM or the parent's end; 1 when no artifact could be loaded at start, else 0.

    parent_fd: reading end of a pipe whose writing end only the parent process holds.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Process(settings, listening, index).run(parent_fd))


class KernelsUnusableError(Exception):
    """numba is installed and cannot be imported."""


class _Server(uvicorn.Server):
    """uvicorn server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Install no handlers."""
        yield


class Process:
    """Servers of one process, and the order of their start and shutdown."""

    def __init__(self, settings: Settings, listening: socket.socket, index: int) -> None:
        self._settings, self._listening, self._index = settings, listening, index
        self._reads_artifacts = False  # until the kernels are ready
        self._background: set[asyncio.Task[None]] = set()
        self._servers: list[_Server] = []

    async def run(self, parent_fd: int | None = None) -> int:
        """Serve at once (not ready), load the artifact meanwhile, end on a signal."""
        service = build_service(self._settings, self._index)
        self._install_signal_handlers(service)
        if parent_fd is not None:
            self._watch_parent(service, parent_fd)
        sockets = [self._listening]
        sockets += [listen(self._settings.host, port) for port in service.side_apps]
        apps = [service.app, *service.side_apps.values()]
        self._servers = [_Server(self._config(app, service)) for app in apps]
        async with asyncio.TaskGroup() as group:
            for server, listening in zip(self._servers, sockets, strict=True):
                group.create_task(server.serve(sockets=[listening]))
            log_event("info", "listening", port=sockets[0].getsockname()[1], worker=self._index)
            failed = not await self._load_first(service)
        await service.close()
        log_event("info", "stopped", worker=self._index)
        return int(failed)

    async def _load_first(self, service: Service) -> bool:
        """Load kernels and the first artifact; without them the process ends."""
        try:
            await asyncio.to_thread(_prepare_kernels, service.kernels)
            self._reads_artifacts = True
            await service.rollout.reload()
        except (KernelsUnusableError, ManifestError):  # logged where they are raised
            self._end_servers()
            return False
        await _load_canary(service)
        service.publish_example()
        gc.collect()
        gc.freeze()  # objects of the start live as long as the process: never scan them again
        service_metrics.PROCESS_READY.set(1)
        log_event("info", "ready", worker=self._index)
        return True

    def _install_signal_handlers(self, service: Service) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_stop, service)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload, service)

    def _watch_parent(self, service: Service, parent_fd: int) -> None:
        """Stop when the parent process ends, which closes the pipe."""
        loop = asyncio.get_running_loop()

        def on_end() -> None:
            loop.remove_reader(parent_fd)
            log_event("warning", "parent_died", worker=self._index)
            self._on_stop(service)

        loop.add_reader(parent_fd, on_end)

    def _on_stop(self, service: Service) -> None:
        if service.readiness.is_draining():
            return
        service.readiness.start_draining()
        log_event(
            "info", "stopping", drain_s=self._settings.drain_s, grace_s=self._settings.grace_s
        )
        self._spawn(self._stop())

    async def _stop(self) -> None:
        """Serve for the drain time, stop listening, let idle connections send once more, end."""
        await asyncio.sleep(self._settings.drain_s)
        for server in self._servers:
            for listener in server.servers if server.started else []:
                listener.close()
        for _ in range(_IDLE_CLOSE_POLLS):
            if not self._has_connections():
                break
            await asyncio.sleep(_IDLE_CLOSE_POLL_S)
        self._end_servers()

    def _has_connections(self) -> bool:
        return any(server.server_state.connections for server in self._servers)

    def _on_reload(self, service: Service) -> None:
        if self._reads_artifacts:  # else the folder has not been read yet, and will be
            self._spawn(_reload(service))

    def _end_servers(self) -> None:
        for server in self._servers:
            server.should_exit = True

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _config(self, app: FastAPI, service: Service) -> uvicorn.Config:
        return uvicorn.Config(
            ConnectionTracking(app, is_draining=service.readiness.is_draining),
            http=LimitedHttpProtocol,
            interface="asgi3",
            proxy_headers=False,  # no route reads the client's address or scheme
            ws="none",
            lifespan="auto",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(self._settings.grace_s)),
        )


def _prepare_kernels(implementation: KernelImplementation) -> None:
    """Compile the kernels or read them from the cache; raises KernelsUnusableError."""
    started, report = time.monotonic(), CompilationReport(0, 0)
    if implementation == "numba":
        try:
            report = compile_kernels()
        except ImportError as error:
            log_event("error", "kernels_unusable", error)
            raise KernelsUnusableError from error
    service_metrics.KERNELS_INFO.labels(implementation).set(1)
    log_event(
        "info",
        "kernels_ready",
        implementation=implementation,
        compiled=report.compiled,
        from_cache=report.from_cache,
        seconds=round(time.monotonic() - started, 3),
    )


async def _reload(service: Service) -> None:
    with contextlib.suppress(ManifestError):  # logged and counted by the rollout
        await service.rollout.reload_queued()
    await _load_canary(service)


async def _load_canary(service: Service) -> None:
    """Load the canary artifact if one is set; without a valid one the service goes on."""
    if service.canary_rollout is not None:
        with contextlib.suppress(ManifestError):
            await service.canary_rollout.reload_queued()
