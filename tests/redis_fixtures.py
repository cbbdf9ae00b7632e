"""A real redis-server for tests of any room, and the faults that a test may put it through.

In a conftest.py: `from tests.redis_fixtures import redis_server` (one server for the session,
emptied before each test), or `private_redis` for tests that kill, pause or restart it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from service.features.embedded_redis import LOOPBACK_HOST, EmbeddedRedis


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[EmbeddedRedis]:
    """One server for the whole run; `redis_server` hands it out empty."""
    with EmbeddedRedis(maxmemory_mb=64) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: EmbeddedRedis) -> EmbeddedRedis:
    """The shared server, emptied. Not to be killed, paused or restarted."""
    send_inline_command(shared_redis, "FLUSHALL")
    return shared_redis


@pytest.fixture
def private_redis() -> Iterator[EmbeddedRedis]:
    """A server for this test alone, to kill, pause and restart."""
    with EmbeddedRedis(maxmemory_mb=64) as server:
        yield server


def pause_redis(server: EmbeddedRedis) -> None:
    """Stop its clock: connections stay open and nothing is answered."""
    os.kill(server.pid, signal.SIGSTOP)


def resume_redis(server: EmbeddedRedis) -> None:
    """Let a paused server go on."""
    os.kill(server.pid, signal.SIGCONT)


def send_inline_command(server: EmbeddedRedis, line: str) -> bytes:
    """Send one inline command and return the first bytes of the answer."""
    with socket.create_connection((LOOPBACK_HOST, server.port), timeout=5.0) as connection:
        connection.sendall(line.encode() + b"\r\n")
        return connection.recv(4096)
