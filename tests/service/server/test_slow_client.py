"""A client that sends one byte at a time for ever: cut off in time, and alone in its trouble."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from service.inference.artifact_reader import Artifact
from service.server.http_limits import HEAD_TIMEOUT_S
from tests.service.asking import body_of
from tests.service.serving import Serving

EVERY_S = 1.0
BODY_TIMEOUT_MS = 2500

pytestmark = pytest.mark.slow


def test_a_client_that_sends_a_byte_a_second_is_cut_off_and_holds_nobody_up(
    artifact_folder: Path, artifact: Artifact
):
    settings = {
        "body_timeout_ms": BODY_TIMEOUT_MS,
        "max_inflight": 2,
        "max_waiting": 0,
        "request_budget_ms": 900,
        "feature_budget_ms": 500,
    }
    answer: list[bytes] = []
    gone = threading.Event()
    with Serving(artifact_folder, **settings) as serving:
        serving.ready()
        with socket.create_connection(("127.0.0.1", serving.port), timeout=10.0) as slow:
            slow.sendall(
                b"POST /rerank HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                b"content-length: 500\r\n\r\n"
            )

            def drip() -> None:
                while not gone.wait(EVERY_S):
                    try:
                        slow.sendall(b" ")
                    except OSError:
                        return  # the server hung up

            sender = threading.Thread(target=drip)
            sender.start()
            with serving.client() as client:
                statuses = [
                    client.post("/rerank", json=body_of(artifact)).status_code for _ in range(50)
                ]
            answer.append(slow.recv(4096))
            gone.set()
            sender.join(timeout=5)

    assert set(statuses) == {200}
    assert answer[0].startswith(b"HTTP/1.1 408 ")


def test_a_head_that_never_becomes_whole_is_cut_off_in_its_time(artifact_folder: Path):
    with Serving(artifact_folder) as serving:
        serving.ready()
        with socket.create_connection(("127.0.0.1", serving.port), timeout=EVERY_S) as slow:
            slow.sendall(b"POST /rerank HTTP/1.1\r\nhost: x\r\n")
            began, closed = time.monotonic(), False
            while not closed and time.monotonic() - began < 2 * HEAD_TIMEOUT_S:
                try:
                    slow.sendall(b"x")
                    closed = slow.recv(1) == b""
                except TimeoutError:
                    continue  # a second without an answer: the next byte
                except OSError:
                    closed = True
            lasted = time.monotonic() - began

    assert closed
    assert HEAD_TIMEOUT_S - EVERY_S < lasted < HEAD_TIMEOUT_S + 3 * EVERY_S
