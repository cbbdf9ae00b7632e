"""A service that is started before its artifact is there, as containers may be."""

import shutil
import socket
import time

import httpx
import pytest

from tests.service.serving import Serving

pytestmark = pytest.mark.slow


def two_free_ports() -> int:
    """The first of two neighbors that nobody uses."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def test_several_workers_without_an_artifact_are_started_again_until_it_comes(
    artifact_folder, tmp_path
):
    later = tmp_path / "artifact"
    settings = {"workers": 2, "metrics_port": two_free_ports()}
    with Serving(later, **settings) as serving:
        serving.wait_for("worker_exited")
        shutil.copytree(artifact_folder, tmp_path / "copying", symlinks=True)
        (tmp_path / "copying").rename(later)
        ready = {serving.wait_for("ready")["worker"], serving.wait_for("ready")["worker"]}
        assert ready == {0, 1}
        ends = time.monotonic() + 5.0
        while httpx.get(f"{serving.url}/health/ready").status_code != 200:
            assert time.monotonic() < ends
        serving.process.terminate()
        assert serving.process.wait(timeout=20.0) == 0
