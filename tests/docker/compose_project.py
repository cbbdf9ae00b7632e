"""The containers of docker/compose.yml under a project name of their own, for tests of a real run.

Speaks to any program that is called as `docker compose` is, and to it alone. What it may be told,
by environment:

    COMPOSE          the program (default: docker compose)
    COMPOSE_RUN      a finished run to mount; without it the trainer trains, which takes minutes
    COMPOSE_WITHOUT  services to leave out, for where an image cannot be had: grafana
    COMPOSE_LOGS     a file for all logs (default: the logs' end goes to standard error)
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

COMPOSE_FILE = Path(__file__).parents[2] / "docker" / "compose.yml"
ALL_SERVICES = ("redis", "trainer", "service", "prometheus", "grafana", "locust")
BUILT_IMAGES = ("service", "trainer", "locust")
_PORTS = ("SERVICE_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT", "LOCUST_PORT")
_BUILD_S, _UP_S, _ONE_S = 1800.0, 300.0, 60.0
_READY_S, _TRAINED_S = 60.0, 2400.0
_RUN = "/run/relist"


class ComposeProject:
    """One project: built, brought up, asked, taken down with its volumes."""

    def __init__(self) -> None:
        self._program = shlex.split(os.environ.get("COMPOSE", "docker compose"))
        self._project = f"relist-test-{os.getpid()}"
        self.run_folder = os.environ.get("COMPOSE_RUN")
        without = os.environ.get("COMPOSE_WITHOUT", "").replace(",", " ").split()
        self.services = [name for name in ALL_SERVICES if name not in without]
        self.ports = {name: _free_port() for name in _PORTS}
        own = {name: str(port) for name, port in self.ports.items()}
        own |= {"RELIST_VERSION": "test", "BIND": "127.0.0.1"}
        own |= {"RELIST_RUN": self.run_folder or "run"}
        # images of the Docker format also under podman: the other one holds no health check
        self._environ = os.environ | own | {"BUILDAH_FORMAT": "docker"}

    def compose(
        self, *words: str, seconds: float = _ONE_S, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """One command, bounded in time; its output is captured."""
        command = [*self._program, "-f", str(COMPOSE_FILE), "-p", self._project, *words]
        done = subprocess.run(
            command, env=self._environ, capture_output=True, text=True, timeout=seconds, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{shlex.join(words)}: {done.returncode}\n{done.stderr[-4000:]}")
        return done

    def up(self) -> None:
        """Build the images and start everything; wait until the service is ready."""
        self.compose("build", *BUILT_IMAGES, seconds=_BUILD_S)
        trained = _READY_S if self.run_folder else _TRAINED_S
        self.compose("up", "-d", *self.services, seconds=_UP_S + trained)
        self.wait_until_ready(trained)

    def wait_until_ready(self, seconds: float = _READY_S) -> None:
        """Until the service takes requests on its published port."""
        until = time.monotonic() + seconds
        while not self._ready():
            if time.monotonic() > until:
                raise AssertionError(f"not ready within {seconds:.0f} s")
            time.sleep(0.5)

    def down(self) -> None:
        """Keep the logs, remove containers, networks and volumes."""
        logs = self.compose("logs", check=False)
        text = logs.stdout + logs.stderr
        kept = os.environ.get("COMPOSE_LOGS")
        if kept:
            Path(kept).write_text(text)
        else:
            sys.stderr.write(text[-8000:])
        self.compose("down", "-v", seconds=_UP_S)

    def exec_in(self, service: str, *command: str, check: bool = True) -> str:
        """What a command prints in a running container."""
        return self.compose("exec", "-T", service, *command, check=check).stdout

    def run_once(
        self, service: str, *command: str, seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """One more container of a service, until it ends."""
        words = ("run", "--rm", "--no-deps", "-T", service, *command)
        return self.compose(*words, seconds=seconds, check=False)

    def exit_status(self, service: str) -> int:
        """Of the service's container, which has ended."""
        listed = self.compose("ps", "-a", "--format", "json", check=False)
        if listed.returncode:  # podman-compose always lists all and knows no -a
            listed = self.compose("ps", "--format", "json")
        (found,) = [one for one in _rows(listed.stdout) if _service(one) == service]
        return int(found["ExitCode"])

    def url(self, port: str) -> str:
        """Address of a published port, by its name in .env."""
        return f"http://127.0.0.1:{self.ports[port]}"

    def rerank(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request, which must be a 200."""
        answer = httpx.post(f"{self.url('SERVICE_PORT')}/rerank", json=request, timeout=10.0)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def logged_requests(self, max_count: int = 20) -> list[dict[str, Any]]:
        """The first requests of the run that is served."""
        lines = self.exec_in(
            "service", "head", f"-n{max_count}", f"{_RUN}/generator/requests.jsonl"
        )
        return [json.loads(line)["request"] for line in lines.splitlines()]

    def query_prometheus(self, path: str, **query: str) -> Any:
        """`data` of an answer of Prometheus' API."""
        answer = httpx.get(f"{self.url('PROMETHEUS_PORT')}/api/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def _ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.url('SERVICE_PORT')}/health/ready", timeout=2.0)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


def wait_for(true: Any, seconds: float, what: str) -> None:
    """Wait for `true()`; fails after that time."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.25)


def _rows(text: str) -> Sequence[dict[str, Any]]:
    """JSON as podman writes it (a list) or docker (a line each)."""
    if text.lstrip().startswith("["):
        rows: list[dict[str, Any]] = json.loads(text)
        return rows
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _service(row: dict[str, Any]) -> str:
    labels = row.get("Labels") or {}
    named = labels.get("com.docker.compose.service") if isinstance(labels, dict) else None
    return str(row.get("Service") or named)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port
