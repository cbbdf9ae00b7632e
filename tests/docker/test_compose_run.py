"""`make compose-test`: the containers as users bring them up, asked from outside.

The tests stand in the order of a run; the last one ends the service.
"""

import json
import os
import re
from pathlib import Path

import httpx
import pytest
import yaml

from docker.lock_requirements import main as locks
from model.contract.store.user_record import user_redis_key
from tests.docker.compose_project import BUILT_IMAGES, ComposeProject, wait_for

pytestmark = pytest.mark.compose

DOCKER = Path(__file__).parents[2] / "docker"
# Of what the client library itself exposes, dashboards and alerts may use these families.
SERIES = re.compile(r"(?<![\w:])((?:rerank|process|python)_\w+)(?![\w:(])")
MOST_BYTES = 450 * 10**6  # 208 of them numba and LLVM
METRICS_SCRIPT = """
import sys, urllib.request
for port in (9100, 9101):
    sys.stdout.write(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
"""
LOOSE_LOAD_OPTIONS = (
    "--objective-p99-ms",
    "2000",
    "--objective-degraded",
    "1",
    "--objective-lag-ms",
    "2000",
)
SHORT_RUN_OPTIONS = (
    "--headless",
    "--host",
    "http://service:8000",
    "--rate",
    "20",
    "--duration",
    "8",
)


@pytest.fixture(scope="module")
def stack():
    containers = ComposeProject()
    try:
        containers.up()
        yield containers
    finally:
        containers.down()


def store_reads(stack: ComposeProject, outcome: str) -> float:
    """Reads of the user store with this outcome, of all workers."""
    line = f'rerank_store_seconds_count{{outcome="{outcome}"}}'
    text = stack.exec_in("service", "python", "-c", METRICS_SCRIPT)
    values = [float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)]
    assert len(values) == 2
    return sum(values)


def series_in_use() -> set[str]:
    """Every metric that the committed alert rules and dashboards name."""
    texts = [str(yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text()))]
    for path in sorted((DOCKER / "grafana" / "dashboards").glob("*.json")):
        texts += re.findall(r'"(?:expr|query|definition)": "((?:[^"\\]|\\.)*)"', path.read_text())
    return {name for text in texts for name in SERIES.findall(text)}


def test_compose_trainer_finishes_and_service_answers(stack):
    wait_for(lambda: stack.exit_status("trainer") == 0, 30.0, "the trainer has ended")
    for request in stack.requests(5):
        answer = stack.rerank(request)
        offered = request["candidates"]["item_id"]
        assert {item["item_id"] for item in answer["items"]} <= set(offered)
        assert answer["degraded"] == []
        assert answer["reward"] >= answer["input_reward"]


def test_compose_user_features_come_from_redis(stack):
    request = stack.requests(1)[0]
    hits, misses = store_reads(stack, "hit"), store_reads(stack, "miss")
    stack.rerank(request)
    assert (store_reads(stack, "hit"), store_reads(stack, "miss")) == (hits + 1, misses)

    key = user_redis_key("relist", request["user_id"])
    assert stack.inside("redis", "redis-cli", "DEL", key).strip() == "1"
    stack.rerank(request)
    assert (store_reads(stack, "hit"), store_reads(stack, "miss")) == (hits + 1, misses + 1)


def test_compose_second_up_reloads_without_training(stack):
    request = stack.requests(1)[0]
    before = stack.rerank(request)["artifact"]
    hits = store_reads(stack, "hit")
    assert stack.once("trainer", seconds=60.0).returncode == 0  # training takes minutes
    after = stack.rerank(request)
    assert after["artifact"] == before
    assert store_reads(stack, "hit") == hits + 1


def test_compose_prometheus_scrapes_workers_and_loads_rules(stack):
    def targets() -> list[tuple[str, str]]:
        found = stack.query_prometheus("query", query='up{job="relist"}')["result"]
        return sorted((one["metric"]["instance"], one["value"][1]) for one in found)

    expected = [("service:9100", "1"), ("service:9101", "1")]
    wait_for(lambda: targets() == expected, 30.0, f"up, it is {targets()}")
    groups = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text())["groups"]
    written = {r.get("alert") or r["record"] for group in groups for r in group["rules"]}
    loaded = stack.query_prometheus("rules")["groups"]
    assert {rule["name"] for group in loaded for rule in group["rules"]} == written


def test_compose_prometheus_has_every_used_series(stack):
    used = series_in_use()
    assert len(used) > 10

    def missing() -> set[str]:
        names = stack.query_prometheus("label/__name__/values", match='{job="relist"}')
        return used - set(names)

    wait_for(lambda: not missing(), 30.0, f"series: {sorted(missing())}")


def test_compose_locust_exits_with_verdict(stack):
    met = stack.once("locust", *SHORT_RUN_OPTIONS, *LOOSE_LOAD_OPTIONS, seconds=90.0)
    assert met.returncode == 0, met.stdout + met.stderr[-4000:]
    missed = stack.once("locust", *SHORT_RUN_OPTIONS, "--objective-p99-ms", "0.001", seconds=90.0)
    assert missed.returncode == 1, missed.stdout + missed.stderr[-4000:]


def test_compose_web_pages_respond(stack):
    pages = {"SERVICE_PORT": "/docs", "LOCUST_PORT": "/"}
    if "grafana" in stack.services:
        pages["GRAFANA_PORT"] = "/api/health"
    for port, path in pages.items():
        wait_for(
            lambda port=port, path=path: httpx.get(stack.url(port) + path).status_code == 200,
            30.0,
            f"{port}{path}",
        )


def test_compose_grafana_provisions_dashboards(stack):
    if "grafana" not in stack.services:
        pytest.skip("left out by COMPOSE_WITHOUT")
    written = {
        json.loads(path.read_text())["uid"]
        for path in (DOCKER / "grafana" / "dashboards").glob("*.json")
    }
    found = httpx.get(stack.url("GRAFANA_PORT") + "/api/search", params={"type": "dash-db"})
    assert {one["uid"] for one in found.json()} == written


@pytest.mark.parametrize("service", ["service", "locust"])
def test_compose_containers_run_unprivileged(stack, service):
    status = stack.inside(service, "cat", "/proc/1/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["10001"] * 4
    assert int(facts["CapEff"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    done = stack.compose("exec", "-T", service, "touch", "/app/x", check=False)
    assert done.returncode != 0
    assert "Read-only" in done.stdout + done.stderr


def test_compose_service_image_is_small_without_torch(stack):
    # All that stands above the base image lies in these two folders (test_images.py).
    sizes = stack.inside("service", "du", "-sxB1", "/opt/relist", "/app")
    total = sum(int(line.split()[0]) for line in sizes.splitlines())
    assert 50 * 10**6 < total < MOST_BYTES
    found = stack.inside(
        "service", "python", "-c", "import importlib.util as u; print(u.find_spec('torch'))"
    )
    assert found.strip() == "None"


def test_compose_image_healthcheck_passes(stack):
    stack.inside("service", "python", "/app/healthcheck.py")


def test_compose_locks_are_current():
    """Asks the package index; torch's wheel may lie in a folder (TORCH_WHEELS)."""
    wheels = os.environ.get("TORCH_WHEELS")
    assert locks(["--check", *(["--torch-wheels", wheels] if wheels else [])]) == 0


def test_compose_redis_outage_degrades_and_recovers(stack):
    request = stack.requests(1)[0]
    stack.compose("stop", "redis")
    answer = stack.rerank(request)
    assert answer["degraded"] == ["user_features"]
    assert httpx.get(stack.url("SERVICE_PORT") + "/health/ready").status_code == 200

    stack.compose("start", "redis")
    wait_for(lambda: stack.rerank(request)["degraded"] == [], 30.0, "whole answers again")
    hits = store_reads(stack, "hit")
    stack.rerank(request)
    assert store_reads(stack, "hit") == hits + 1  # Redis kept what it had


def test_compose_sigterm_stops_service_cleanly(stack):
    stack.compose("stop", "service")
    assert stack.exit_status("service") == 0


def test_compose_images_were_built_locally():
    assert set(BUILT_IMAGES) == {path.name.split(".")[0] for path in DOCKER.glob("*.Dockerfile")}
