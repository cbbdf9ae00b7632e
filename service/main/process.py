"""One serving process: HTTP servers, signals and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Coroutine, Generator

import uvicorn
import uvloop
from starlette.types import ASGIApp

from model.contract.errors import ManifestError
from service.main.acceptor import Acceptor
from service.main.repeated import RepeatedProtocol
from service.main.wiring import Service, assemble
from service.settings import Settings
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event


def serve(settings: Settings, listening: socket.socket, index: int) -> int:
    """Run until SIGTERM; 0 after an orderly end, 1 when no artifact could be loaded at start."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Process(settings, listening, index).run())


class _Server(uvicorn.Server):
    """Leaves signals to the process, and takes connections in our way."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the sockets."""
        await super().startup(sockets=[])
        self.acceptors = [Acceptor(listening, self._protocol) for listening in sockets or []]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and let those that are there end."""
        for acceptor in self.acceptors:
            await acceptor.close()
        await super().shutdown(sockets)

    def _protocol(self) -> RepeatedProtocol:
        return RepeatedProtocol(self.config, self.server_state, self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the process."""
        yield


class Process:
    """Servers of one process and the order in which they start and end."""

    def __init__(self, settings: Settings, listening: socket.socket, index: int) -> None:
        self._settings, self._listening, self._index = settings, listening, index
        self._background: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._servers: list[_Server] = []

    async def run(self) -> int:
        """Serve at once (not ready), load the artifact beside, end on a signal."""
        service = assemble(self._settings, self._index)
        self._mind_signals(service)
        sockets = [self._listening, *service.open_side_sockets()]
        self._servers = [_Server(self._config(app)) for app in service.served]
        async with asyncio.TaskGroup() as group:
            for server, sock in zip(self._servers, sockets, strict=True):
                group.create_task(server.serve(sockets=[sock]))
            log_event("info", "listening", port=sockets[0].getsockname()[1], worker=self._index)
            failed = not await self._load_first(service)
        await service.close()
        log_event("info", "stopped", worker=self._index)
        return int(failed)

    async def _load_first(self, service: Service) -> bool:
        """The first artifact; without one the process ends."""
        try:
            await service.rollout.reload()
        except ManifestError:  # the rollout has logged it
            self._end_servers()
            return False
        await _try_candidate(service)
        service.publish_example()
        gc.collect()
        gc.freeze()  # what start-up built is never garbage: collections need not walk it
        service_metrics.PROCESS_READY.set(1)
        log_event("info", "ready", worker=self._index)
        return True

    def _mind_signals(self, service: Service) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, service)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload, service)

    def _on_stop(self, service: Service) -> None:
        if self._stopping:
            return
        self._stopping = True
        service.readiness.stop()
        log_event(
            "info", "stopping", drain_s=self._settings.drain_s, grace_s=self._settings.grace_s
        )
        self._spawn(self._stop_later())

    async def _stop_later(self) -> None:
        await asyncio.sleep(self._settings.drain_s)
        self._end_servers()

    def _on_reload(self, service: Service) -> None:
        self._spawn(_reload(service))

    def _end_servers(self) -> None:
        for server in self._servers:
            server.should_exit = True

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _config(self, app: ASGIApp) -> uvicorn.Config:
        return uvicorn.Config(
            app,
            http=RepeatedProtocol,
            interface="asgi3",
            proxy_headers=False,  # nothing here asks who called, or by which scheme
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(self._settings.grace_s)),
        )


async def _reload(service: Service) -> None:
    with contextlib.suppress(ManifestError):  # logged and counted by the rollout
        await service.rollout.reload_in_turn()
    await _try_candidate(service)


async def _try_candidate(service: Service) -> None:
    """A candidate that cannot prove itself is not on trial; the service goes on without."""
    if service.candidate is not None:
        with contextlib.suppress(ManifestError):
            await service.candidate.reload_in_turn()
