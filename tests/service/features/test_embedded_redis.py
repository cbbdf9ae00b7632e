"""The embedded redis-server starts, answers, and ends with its parent process."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.features.embedded_redis import (
    LOOPBACK_HOST,
    EmbeddedRedis,
    EmbeddedRedisError,
    find_redis_server,
)
from tests.redis_fixtures import pause_redis, send_inline_command

pytestmark = pytest.mark.redis

STARTER = """
import sys, time
from service.features.embedded_redis import EmbeddedRedis
server = EmbeddedRedis(maxmemory_mb=8)
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def ends_within(pid: int, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < ends:
        time.sleep(0.01)
    return not is_alive(pid)


def test_embedded_redis_is_loopback_in_memory_and_bounded(redis_server):
    def setting(name):
        return send_inline_command(redis_server, f"CONFIG GET {name}").split(b"\r\n")[4]

    assert setting("bind") == b"127.0.0.1"
    assert setting("save") == b""
    assert setting("appendonly") == b"no"
    assert int(setting("maxmemory")) == 64 * 1024 * 1024


def test_embedded_redis_exit_kills_paused_server():
    with EmbeddedRedis(maxmemory_mb=8) as server:
        pid = server.pid
        folder = Path(send_inline_command(server, "CONFIG GET dir").split(b"\r\n")[4].decode())
        assert folder.is_dir()
        pause_redis(server)
    assert not is_alive(pid)
    assert not folder.exists()


def test_embedded_redis_restart_is_empty_on_same_port():
    with EmbeddedRedis(maxmemory_mb=8) as server:
        url = server.url
        send_inline_command(server, "SET color blue")
        server.stop()
        server.start()
        assert server.url == url
        assert send_inline_command(server, "GET color") == b"$-1\r\n"


def test_embedded_redis_killed_parent_ends_server():
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
    assert ends_within(pid, 5.0)


def test_embedded_redis_busy_port_raises_and_cleans_up():
    with socket.socket() as taken:
        taken.bind((LOOPBACK_HOST, 0))
        taken.listen()
        server = EmbeddedRedis(port=taken.getsockname()[1], start_timeout_s=5.0)
        with pytest.raises(EmbeddedRedisError, match="in use"):
            server.start()
        with pytest.raises(EmbeddedRedisError, match="not running"):
            _ = server.pid


def test_embedded_redis_silent_binary_times_out(tmp_path):
    mute = tmp_path / "redis-server"
    mute.write_text("#!/bin/sh\nexec sleep 60\n")
    mute.chmod(0o755)
    began = time.monotonic()
    with pytest.raises(EmbeddedRedisError, match="no PONG"):
        EmbeddedRedis(binary=mute, port=1, start_timeout_s=0.2).start()
    assert time.monotonic() - began < 3.0


def test_find_redis_server_missing_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedRedisError, match="embedded-redis"):
        find_redis_server()
    with pytest.raises(EmbeddedRedisError, match="no redis-server binary"):
        find_redis_server(tmp_path / "missing")
