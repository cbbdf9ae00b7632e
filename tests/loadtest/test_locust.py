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

from tests.artifacts import tiny_artifact
from tests.loadtest.canned_server import CannedServer
from tests.service.serving import Serving

ROOT = Path(__file__).parents[2]
# The machine of a test run is busy: these tests are not about how fast it is.
EASY = {"objective-p99-ms": 1900, "objective-lag-ms": 1900, "objective-achieved": 0.5}


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
class Ended:
    """A run that is over."""

    status: int
    told: str
    verdict: dict[str, Any]
    folder: Path


def locust(folder: Path, url: str, environ: dict[str, str] | None = None, **options) -> Ended:
    """Run locust without its web page until it ends."""
    out = folder / "verdict.json"
    given = {"host": url, "verdict-json": out, "csv": folder / "run", "html": folder / "run.html"}
    given |= EASY | {name.replace("_", "-"): value for name, value in options.items()}
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
    return Ended(done.returncode, told, json.loads(out.read_text()) if out.exists() else {}, folder)


def near(count: int, expected: float) -> bool:
    return abs(count - expected) < 5 * math.sqrt(expected)


@pytest.mark.slow
def test_a_slow_server_does_not_slow_the_arrivals(tmp_path, requests_file):
    with CannedServer(delay_s=0.8) as server:  # one caller at a time could ask 4 times in 3 s
        ended = locust(tmp_path, server.url, requests=requests_file, rate=60, duration=3)

    assert near(ended.verdict["arrivals"], 180)
    assert len(server.came) == ended.verdict["arrivals"] == ended.verdict["answers"]
    assert max(server.came) - min(server.came) < 3.8  # they came in 3 s, not in 180 * .8
    assert ended.verdict["latency_ms"]["p50"] >= 795
    assert ended.status == 0, ended.told


@pytest.mark.slow
def test_what_is_due_when_every_place_is_taken_is_a_failure_and_is_not_hidden(
    tmp_path, requests_file
):
    with CannedServer(delay_s=1.0) as server:
        ended = locust(
            tmp_path, server.url, requests=requests_file, rate=60, duration=3, max_outstanding=24
        )

    assert server.most_inside <= 24
    assert near(ended.verdict["arrivals"], 180)
    assert ended.verdict["failures"]["not_sent"] == ended.verdict["arrivals"] - len(server.came)
    assert len(server.came) < 110  # 24 a second, and what began in the last one
    assert ended.status == 1
    assert "failed, not sent because every place was taken" in ended.told
    assert "OBJECTIVE MISSED" in ended.told


@pytest.mark.slow
def test_several_processes_are_counted_as_one_and_reports_are_written(tmp_path, requests_file):
    with CannedServer(degraded=["fewer_lists"]) as server:
        environ = {"LOCUST_RATE": "80", "LOCUST_SHAPE": "ramp", "LOCUST_DURATION": "3"}
        options = {"requests": requests_file, "processes": 3, "objective_degraded": 1}
        ended = locust(tmp_path, server.url, environ, **options)

    assert ended.status == 0, ended.told
    assert near(ended.verdict["arrivals"], 3 * 80 * 0.55)  # from 8 to 80 a second
    assert len(server.came) == ended.verdict["answers"] == ended.verdict["degraded_answers"]
    assert len({json.loads(body)["user_id"] for body in server.bodies}) == 5
    assert "objective met" in ended.told
    stats = (tmp_path / "run_stats.csv").read_text()
    assert f"POST,/rerank,{len(server.came)},0," in stats
    assert "/rerank" in (tmp_path / "run.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"requests": "nowhere.jsonl"}, "error: nowhere.jsonl cannot be read: No such file"),
        ({"shape": "sawtooth"}, "invalid choice: 'sawtooth' (choose from "),
        ({"rate": -1}, "error: rate must be above 0"),
        ({"wait-ready": 0}, "error: no service is ready at http://127.0.0.1:9/health/ready"),
        ({"host": "localhost"}, "error: 'localhost' is no address of the form http://host:port"),
    ],
)
def test_what_cannot_run_ends_with_2_and_says_why(tmp_path, requests_file, options, said):
    given = {"requests": requests_file} | options
    ended = locust(tmp_path, str(given.pop("host", "http://127.0.0.1:9")), **given)

    assert ended.status == 2
    assert said in ended.told
    assert "Traceback" not in ended.told


class Page:
    """Locust with its web page; leaving the block ends it."""

    def __init__(self, url: str, requests_file: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        flags = [f"--host={url}", f"--requests={requests_file}", f"--web-port={port}"]
        flags += [f"--{name}={value}" for name, value in EASY.items()]
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
        self.told = self.process.communicate(timeout=30)[0]


@pytest.mark.slow
def test_the_web_page_starts_one_run_after_the_other_and_tells_their_verdicts(requests_file):
    with CannedServer() as server, Page(server.url, requests_file) as page:
        first = page.run(rate=60, duration=2)
        came = len(server.came)
        wrong = page.run(rate=-5, duration=2)
        second = page.run(rate=30, duration=2, shape="ramp")

    assert first["arrivals"] == first["answers"] == came
    assert near(came, 120)
    assert first["met"]
    assert (wrong, len(server.came)) == ({"run": 2, "running": False}, came + second["arrivals"])
    assert near(second["arrivals"], 2 * 30 * 0.55)
    assert page.told.count("objective met") == 2
    assert "this cannot run: rate must be above 0, not -5" in page.told
    assert page.process.returncode == 0


@pytest.mark.slow
def test_a_real_service_is_loaded_with_its_own_log(tmp_path):
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
        ended = locust(tmp_path, serving.url, {"LOCUST_TOKEN": token}, **options)
        refused = locust(tmp_path, serving.url, {"LOCUST_TOKEN": "x" * 20}, **options)
        counted = serving.metric('rerank_refused_total{code="unauthorized"}')

    assert ended.status == 0, ended.told
    assert ended.verdict["answers"] == ended.verdict["arrivals"] > 30
    assert counted == refused.verdict["arrivals"]
    assert set(refused.verdict["failures"]) == {"HTTP 401 unauthorized"}
    assert refused.status == 1
