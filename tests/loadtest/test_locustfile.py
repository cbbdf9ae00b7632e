"""Whole runs of locust, as a person starts them, against real servers."""

import json
import math
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.loadtest.canned_server import CannedServer
from tests.service.serving import Serving
from tests.tiny_artifact import tiny_artifact

ROOT = Path(__file__).parents[2]
# The machine of a test run is busy: these tests are not about how fast it is.
LOOSE_OBJECTIVE = {"objective-p99-ms": 1900, "objective-lag-ms": 1900, "objective-achieved": 0.5}


@pytest.fixture(scope="module")
def requests_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "requests.jsonl"
    rows = [
        {"request": {"user_id": f"u{u}", "candidates": {"item_id": [f"{u}a", f"{u}b"]}}}
        for u in range(5)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@dataclass(frozen=True)
class FinishedRun:
    """A run that is over."""

    status: int
    output: str
    verdict: dict[str, Any]
    folder: Path


def run_locust(
    folder: Path, url: str, environ: dict[str, str] | None = None, **options
) -> FinishedRun:
    """Run locust without its web page until it ends."""
    out = folder / "verdict.json"
    given = {"host": url, "verdict-json": out, "csv": folder / "run", "html": folder / "run.html"}
    given |= LOOSE_OBJECTIVE | {name.replace("_", "-"): value for name, value in options.items()}
    flags = [f"--{name}={value}" for name, value in given.items()]
    start = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py")]
    done = subprocess.run(
        [*start, "--headless", "--only-summary", *flags],
        cwd=ROOT,
        env=os.environ | (environ or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = done.stdout + done.stderr
    return FinishedRun(
        done.returncode, told, json.loads(out.read_text()) if out.exists() else {}, folder
    )


def is_near_poisson_mean(count: int, expected: float) -> bool:
    return abs(count - expected) < 5 * math.sqrt(expected)


@pytest.mark.slow
def test_locust_slow_server_keeps_arrival_rate(tmp_path, requests_file):
    with CannedServer(delay_s=0.8) as server:  # one caller at a time could ask 4 times in 3 s
        ended = run_locust(tmp_path, server.url, requests=requests_file, rate=60, duration=3)

    assert is_near_poisson_mean(ended.verdict["arrivals"], 180)
    assert len(server.arrival_times) == ended.verdict["arrivals"] == ended.verdict["answers"]
    assert (
        max(server.arrival_times) - min(server.arrival_times) < 3.8
    )  # they came in 3 s, not in 180 * .8
    assert ended.verdict["latency_ms"]["p50"] >= 795
    assert ended.status == 0, ended.output


@pytest.mark.slow
def test_locust_arrivals_above_limit_count_as_failures(tmp_path, requests_file):
    with CannedServer(delay_s=1.0) as server:
        ended = run_locust(
            tmp_path, server.url, requests=requests_file, rate=60, duration=3, max_outstanding=24
        )

    assert server.max_in_flight <= 24
    assert is_near_poisson_mean(ended.verdict["arrivals"], 180)
    assert ended.verdict["failures"]["not_sent"] == ended.verdict["arrivals"] - len(
        server.arrival_times
    )
    assert len(server.arrival_times) < 110  # 24 a second, and what began in the last one
    assert ended.status == 1
    assert "failed, not sent: too many requests in flight" in ended.output
    assert "OBJECTIVE MISSED" in ended.output


@pytest.mark.slow
def test_locust_several_processes_add_up(tmp_path, requests_file):
    with CannedServer(degraded=["fewer_lists"]) as server:
        environ = {"LOCUST_RATE": "80", "LOCUST_SHAPE": "ramp", "LOCUST_DURATION": "3"}
        options = {"requests": requests_file, "processes": 3, "objective_degraded": 1}
        ended = run_locust(tmp_path, server.url, environ, **options)

    assert ended.status == 0, ended.output
    assert is_near_poisson_mean(ended.verdict["arrivals"], 3 * 80 * 0.55)  # from 8 to 80 a second
    assert (
        len(server.arrival_times) == ended.verdict["answers"] == ended.verdict["degraded_answers"]
    )
    assert len({json.loads(body)["user_id"] for body in server.bodies}) == 5
    assert "objective met" in ended.output
    stats = (tmp_path / "run_stats.csv").read_text()
    assert f"POST,/rerank,{len(server.arrival_times)},0," in stats
    assert "/rerank" in (tmp_path / "run.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"requests": "nowhere.jsonl"}, "error: nowhere.jsonl cannot be read: No such file"),
        ({"shape": "sawtooth"}, "invalid choice: 'sawtooth' (choose from "),
        ({"rate": -1}, "error: rate must be above 0"),
        ({"wait-ready": 0}, "error: no service is ready at http://127.0.0.1:9/health/ready"),
        (
            {"host": "localhost"},
            "error: 'localhost' is not an address of the form http://host:port",
        ),
    ],
)
def test_locust_invalid_options_exit_with_2(tmp_path, requests_file, options, said):
    given = {"requests": requests_file} | options
    ended = run_locust(tmp_path, str(given.pop("host", "http://127.0.0.1:9")), **given)

    assert ended.status == 2
    assert said in ended.output
    assert "Traceback" not in ended.output


class LocustWebPage:
    """Locust with its web page; leaving the block ends it."""

    def __init__(self, url: str, requests_file: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        flags = [f"--host={url}", f"--requests={requests_file}", f"--web-port={port}"]
        flags += [f"--{name}={value}" for name, value in LOOSE_OBJECTIVE.items()]
        start = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py")]
        self.process = subprocess.Popen(
            [*start, "--web-host=127.0.0.1", *flags],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10.0)

    def get(self, path: str) -> Any:
        """What an address of the page answers, once it is up."""
        until = time.monotonic() + 30.0
        while True:
            try:
                return self._client.get(path).raise_for_status().json()
            except httpx.ConnectError:
                assert time.monotonic() < until, "locust's page did not come up"
                time.sleep(0.05)

    def run(self, **form: object) -> dict[str, Any]:
        """Fill in the form, start, and wait for the end of the run; the verdict."""
        before = self.get("/verdict")["run"]
        self._client.post("/swarm", data=form).raise_for_status()
        until = time.monotonic() + 30.0
        while (told := self.get("/verdict"))["run"] == before or told["running"]:
            assert time.monotonic() < until, "the run did not end"
            time.sleep(0.1)
        return dict(told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self.process.terminate()
        self.output = self.process.communicate(timeout=30)[0]


@pytest.mark.slow
def test_locust_web_page_reports_each_run(requests_file):
    with CannedServer() as server, LocustWebPage(server.url, requests_file) as page:
        first = page.run(rate=60, duration=2)
        came = len(server.arrival_times)
        wrong = page.run(rate=-5, duration=2)
        second = page.run(rate=30, duration=2, shape="ramp")

    assert first["arrivals"] == first["answers"] == came
    assert is_near_poisson_mean(came, 120)
    assert first["met"]
    assert (wrong, len(server.arrival_times)) == (
        {"run": 2, "running": False},
        came + second["arrivals"],
    )
    assert is_near_poisson_mean(second["arrivals"], 2 * 30 * 0.55)
    assert page.output.count("objective met") == 2
    assert "this cannot run: rate must be above 0, not -5" in page.output
    assert page.process.returncode == 0


@pytest.mark.slow
def test_locust_loads_real_service(tmp_path):
    artifact = tiny_artifact(tmp_path / "artifact")
    handover = artifact.parent / "handover"
    token = "a-token-of-20-letters"
    settings = {
        "users_file": handover / "users.bin",
        "request_budget_ms": 900,
        "feature_budget_ms": 500,
        "api_tokens": json.dumps([token]),
    }
    with Serving(artifact, **settings) as serving:
        serving.ready()
        options = {"requests": handover / "requests.jsonl", "rate": 30, "duration": 2}
        ended = run_locust(tmp_path, serving.url, {"LOCUST_TOKEN": token}, **options)
        refused = run_locust(tmp_path, serving.url, {"LOCUST_TOKEN": "x" * 20}, **options)
        counted = serving.metric('rerank_rejected_total{code="unauthorized"}')

    assert ended.status == 0, ended.output
    assert ended.verdict["answers"] == ended.verdict["arrivals"] > 30
    assert counted == refused.verdict["arrivals"]
    assert set(refused.verdict["failures"]) == {"HTTP 401 unauthorized"}
    assert refused.status == 1
