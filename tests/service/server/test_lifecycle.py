"""Signals at any time, a parent that dies, and clients that live through a restart."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.asking import body_of
from tests.service.server.test_process import BUSY, children
from tests.service.serving import Serving, free_ports, own_environment


@pytest.fixture
def process(artifact_folder) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has just started."""
    command = [sys.executable, "-m", "service.cli.main", "serve"]
    environment = own_environment(artifact_dir=artifact_folder, port=0)
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as started:
        yield started
        started.kill()


def wait_for_handler(pid: int, number: signal.Signals) -> None:
    """Until the process catches the signal, as the kernel tells it."""
    bit = 1 << (number - 1)
    for _ in range(2000):
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        if caught & bit:
            return
        time.sleep(0.005)
    raise AssertionError("no handler")


def is_importing(pid: int) -> bool:
    """Whether the process has no event loop yet."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return not any("eventpoll" in str(link.readlink()) for link in links)


def test_sigterm_during_imports_ends_the_process(process):
    wait_for_handler(process.pid, signal.SIGTERM)
    assert is_importing(process.pid)
    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=5.0) == 0


def test_sighup_during_imports_is_harmless(artifact_folder):
    with Serving(artifact_folder) as serving:
        wait_for_handler(serving.process.pid, signal.SIGHUP)
        serving.process.send_signal(signal.SIGHUP)
        serving.ready()
        assert httpx.get(f"{serving.url}/health/ready").status_code == 200


def test_sighups_during_a_whole_start_kill_no_worker(artifact_folder):
    settings = BUSY | {"workers": 2, "metrics_port": free_ports(2)}
    ready = threading.Event()
    with contextlib.ExitStack() as stack:
        serving = Serving(artifact_folder, **settings)
        wait_for_handler(serving.process.pid, signal.SIGHUP)

        def send_on() -> None:
            while not ready.wait(0.02):
                serving.process.send_signal(signal.SIGHUP)

        sender = threading.Thread(target=send_on)
        sender.start()
        stack.enter_context(serving)
        for _ in range(2):
            serving.wait_for("ready")
        ready.set()
        sender.join()
        events = [line["event"] for line in serving.events]

    assert "worker_exited" not in events


def test_workers_end_by_themselves_when_the_parent_is_killed(artifact_folder):
    settings = BUSY | {"workers": 2, "metrics_port": free_ports(2)}
    with Serving(artifact_folder, **settings) as serving:
        for _ in range(2):
            serving.wait_for("ready")
        workers = children(serving.process.pid)
        os.kill(serving.process.pid, signal.SIGKILL)
        ends = time.monotonic() + 20.0
        while any(map(is_running, workers)) and time.monotonic() < ends:
            time.sleep(0.02)
        left = [pid for pid in workers if is_running(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert left == []


def is_running(pid: int) -> bool:
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return False


class KeepAliveClient:
    """Sends requests on a kept connection, and opens another only where the server closed it."""

    def __init__(self, port: int, body: bytes, pause_s: float) -> None:
        self.port, self._body, self._pause_s = port, body, pause_s
        self.answered: list[int] = []
        self.failed: list[str] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop.is_set():
            port = self.port
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)
            try:
                self._send_until_closed(connection, port)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                return
            finally:
                connection.close()

    def _send_until_closed(self, connection: http.client.HTTPConnection, port: int) -> None:
        headers, will_close = {"content-type": "application/json"}, False
        while not will_close and not self.stop.wait(self._pause_s):
            connection.request("POST", "/rerank", self._body, headers)
            with connection.getresponse() as response:
                response.read()
                will_close = response.will_close
                self.answered.append(port if response.status == 200 else -response.status)


@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_rolling_restart_resets_no_keep_alive_client(artifact_folder, artifact, pause_s):
    body = json.dumps(body_of(artifact)).encode()
    with Serving(artifact_folder, **BUSY) as old, Serving(artifact_folder, **BUSY) as new:
        old.ready()
        new.ready()
        clients = [KeepAliveClient(old.port, body, pause_s) for _ in range(4)]
        for client in clients:
            client.thread.start()
        time.sleep(0.5)
        for client in clients:
            client.port = new.port  # as a load balancer that has seen the 503 of /health/ready
        old.process.send_signal(signal.SIGTERM)
        assert old.process.wait(timeout=10.0) == 0
        time.sleep(2 * pause_s + 0.2)
        for client in clients:
            client.stop.set()
            client.thread.join(timeout=10.0)

    assert [client.failed for client in clients] == [[]] * 4
    for client in clients:
        assert set(client.answered) == {old.port, new.port}


def test_draining_process_answers_with_connection_close(artifact_folder, artifact):
    with Serving(artifact_folder, drain_s=1.0, **BUSY) as serving:
        serving.ready()
        with serving.client() as client:
            before = client.post("/rerank", json=body_of(artifact))
            serving.process.send_signal(signal.SIGTERM)
            serving.wait_for("stopping")
            paths = ("/health/ready", "/info", "/nothing")
            during = [client.get(path) for path in paths]
            during.append(client.post("/rerank", json=body_of(artifact)))
        assert serving.process.wait(timeout=10.0) == 0

    assert "connection" not in before.headers
    assert [got.headers["connection"] for got in during] == ["close"] * 4
    assert [got.status_code for got in during] == [503, 200, 404, 200]


def test_idle_connections_are_closed_without_reset(artifact_folder):
    with Serving(artifact_folder, **BUSY) as serving:
        serving.ready()
        with socket.create_connection(("127.0.0.1", serving.port), timeout=10.0) as idle:
            idle.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            received = b""
            while not received.endswith(b'{"status":"live"}'):
                received += idle.recv(4096)
            serving.process.send_signal(signal.SIGTERM)
            assert idle.recv(4096) == b""
        assert serving.process.wait(timeout=10.0) == 0


def test_ipv6_host_serves_public_and_side_ports(artifact_folder):
    metrics_port = free_ports(1)
    with Serving(artifact_folder, host="::1", metrics_port=metrics_port) as serving:
        serving.ready()
        public = httpx.get(f"http://[::1]:{serving.port}/health/ready")
        metrics = httpx.get(f"http://[::1]:{metrics_port}/metrics")

    assert (public.status_code, metrics.status_code) == (200, 200)
