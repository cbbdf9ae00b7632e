"""Servers on loopback that answer a Redis client as a test needs it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service.features.embedded_redis import LOOPBACK_HOST

ConnectionHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def loopback_server(
    handle: ConnectionHandler, *, path: Path | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server on loopback, or on the socket at `path`; yields its address."""
    handlers: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        try:
            with suppress(ConnectionError):
                await handle(reader, writer)
        finally:
            writer.close()

    if path is not None:
        server = await asyncio.start_unix_server(accept, path)
        address = f"unix://{path}"
    else:
        server = await asyncio.start_server(accept, LOOPBACK_HOST, 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        address = f"redis://{LOOPBACK_HOST}:{port}" if tls is None else f"rediss://localhost:{port}"
    try:
        yield address
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def redis_proxy(port: int, *, refused: tuple[bytes, ...] = ()) -> ConnectionHandler:
    """A handler that forwards to a Redis on loopback; ends a connection at a refused command."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(LOOPBACK_HOST, port)

        async def copy_replies() -> None:
            while received := await upstream_reader.read(65536):
                writer.write(received)
                await writer.drain()

        copying = asyncio.create_task(copy_replies())
        try:
            while sent := await reader.read(65536):
                if any(b"\r\n%b\r\n" % command in sent.upper() for command in refused):
                    return
                upstream_writer.write(sent)
                await upstream_writer.drain()
        finally:
            copying.cancel()
            upstream_writer.close()

    return forward
