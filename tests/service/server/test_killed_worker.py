"""A worker killed with -9 under load: every request is accounted for."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from service.inference.artifact_reader import Artifact
from tests.service.asking import body_of
from tests.service.server.test_process import BUSY, children
from tests.service.serving import Serving, free_ports

CALLERS, SECONDS, KILL_AFTER = 6, 4.0, 1.0

pytestmark = pytest.mark.slow


def test_a_killed_worker_costs_at_most_the_requests_it_had_in_flight(
    artifact_folder: Path, artifact: Artifact
):
    """Each caller has one request under way at a time, so it can lose one at most."""
    settings = BUSY | {"workers": 2, "metrics_port": free_ports(2)}
    statuses: list[list[int]] = [[] for _ in range(CALLERS)]
    lost: list[list[str]] = [[] for _ in range(CALLERS)]
    over = threading.Event()

    def call(caller: int, serving: Serving) -> None:
        with httpx.Client(base_url=serving.url, timeout=10.0) as client:
            while not over.is_set():
                try:
                    answer = client.post("/rerank", json=body_of(artifact))
                    statuses[caller].append(answer.status_code)
                except httpx.TransportError as error:
                    lost[caller].append(type(error).__name__)

    with Serving(artifact_folder, **settings) as serving:
        for _ in range(2):
            serving.wait_for("ready")
        callers = [threading.Thread(target=call, args=(place, serving)) for place in range(CALLERS)]
        for thread in callers:
            thread.start()
        over.wait(KILL_AFTER)
        os.kill(children(serving.process.pid)[0], signal.SIGKILL)
        killed = time.monotonic()
        serving.wait_for("worker_exited")
        serving.wait_for("ready")
        over.wait(max(0.0, SECONDS - (time.monotonic() - killed)))
        over.set()
        for thread in callers:
            thread.join(timeout=15)

    assert not any(thread.is_alive() for thread in callers)
    assert {status for each in statuses for status in each} == {200}
    assert sum(map(len, statuses)) > 20 * CALLERS
    assert max(map(len, lost)) <= 1, lost
