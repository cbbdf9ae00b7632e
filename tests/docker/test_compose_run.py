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

from docker.renew_locks import main as locks
from model.contract.store_layout import user_key
from tests.docker.containers import BUILT, Containers, until

pytestmark = pytest.mark.compose

DOCKER = Path(__file__).parents[2] / "docker"
# Of what the client library itself exposes, dashboards and alerts may use these families.
SERIES = re.compile(r"(?<![\w:])((?:rerank|process|python)_\w+)(?![\w:(])")
MOST_BYTES = 450 * 10**6  # 208 of them numba and LLVM
COUNTS = """
import sys, urllib.request
for port in (9100, 9101):
    sys.stdout.write(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
"""
EASY = ("--objective-p99-ms", "2000", "--objective-degraded", "1", "--objective-lag-ms", "2000")
SHORT = ("--headless", "--host", "http://service:8000", "--rate", "20", "--duration", "8")


@pytest.fixture(scope="module")
def stack():
    containers = Containers()
    try:
        containers.up()
        yield containers
    finally:
        containers.down()


def reads(stack: Containers, outcome: str) -> float:
    """Reads of the user store with this outcome, of all workers."""
    line = f'rerank_store_seconds_count{{outcome="{outcome}"}}'
    text = stack.inside("service", "python", "-c", COUNTS)
    values = [float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)]
    assert len(values) == 2
    return sum(values)


def series_in_use() -> set[str]:
    """Every metric that the committed alert rules and dashboards name."""
    texts = [str(yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text()))]
    for path in sorted((DOCKER / "grafana" / "dashboards").glob("*.json")):
        texts += re.findall(r'"(?:expr|query|definition)": "((?:[^"\\]|\\.)*)"', path.read_text())
    return {name for text in texts for name in SERIES.findall(text)}


def test_the_trainer_has_ended_well_and_a_list_comes_back_whole(stack):
    until(lambda: stack.exit_status("trainer") == 0, 30.0, "the trainer has ended")
    for request in stack.requests(5):
        answer = stack.rerank(request)
        offered = request["candidates"]["item_id"]
        assert {item["item_id"] for item in answer["items"]} <= set(offered)
        assert answer["degraded"] == []
        assert answer["reward"] >= answer["input_reward"]


def test_what_a_user_is_like_comes_from_the_redis_container(stack):
    request = stack.requests(1)[0]
    hits, unknown = reads(stack, "hit"), reads(stack, "unknown")
    stack.rerank(request)
    assert (reads(stack, "hit"), reads(stack, "unknown")) == (hits + 1, unknown)

    key = user_key("relist", request["user_id"])
    assert stack.inside("redis", "redis-cli", "DEL", key).strip() == "1"
    stack.rerank(request)
    assert (reads(stack, "hit"), reads(stack, "unknown")) == (hits + 1, unknown + 1)


def test_bringing_it_up_again_fills_redis_and_does_not_train_again(stack):
    request = stack.requests(1)[0]
    before = stack.rerank(request)["artifact"]
    hits = reads(stack, "hit")
    assert stack.once("trainer", seconds=60.0).returncode == 0  # training takes minutes
    after = stack.rerank(request)
    assert after["artifact"] == before
    assert reads(stack, "hit") == hits + 1


def test_prometheus_scrapes_every_worker_and_has_all_rules(stack):
    def targets() -> list[tuple[str, str]]:
        found = stack.asked_of_prometheus("query", query='up{job="relist"}')["result"]
        return sorted((one["metric"]["instance"], one["value"][1]) for one in found)

    expected = [("service:9100", "1"), ("service:9101", "1")]
    until(lambda: targets() == expected, 30.0, f"up, it is {targets()}")
    groups = yaml.safe_load((DOCKER / "prometheus" / "alerts.yml").read_text())["groups"]
    written = {r.get("alert") or r["record"] for group in groups for r in group["rules"]}
    loaded = stack.asked_of_prometheus("rules")["groups"]
    assert {rule["name"] for group in loaded for rule in group["rules"]} == written


def test_prometheus_holds_every_series_that_dashboards_and_alerts_use(stack):
    used = series_in_use()
    assert len(used) > 10

    def missing() -> set[str]:
        names = stack.asked_of_prometheus("label/__name__/values", match='{job="relist"}')
        return used - set(names)

    until(lambda: not missing(), 30.0, f"series: {sorted(missing())}")


def test_locust_ends_with_its_verdict(stack):
    met = stack.once("locust", *SHORT, *EASY, seconds=90.0)
    assert met.returncode == 0, met.stdout + met.stderr[-4000:]
    missed = stack.once("locust", *SHORT, "--objective-p99-ms", "0.001", seconds=90.0)
    assert missed.returncode == 1, missed.stdout + missed.stderr[-4000:]


def test_the_web_pages_answer(stack):
    pages = {"SERVICE_PORT": "/docs", "LOCUST_PORT": "/"}
    if "grafana" in stack.services:
        pages["GRAFANA_PORT"] = "/api/health"
    for port, path in pages.items():
        until(
            lambda port=port, path=path: httpx.get(stack.url(port) + path).status_code == 200,
            30.0,
            f"{port}{path}",
        )


def test_dashboards_are_in_grafana(stack):
    if "grafana" not in stack.services:
        pytest.skip("left out by COMPOSE_WITHOUT")
    written = {
        json.loads(path.read_text())["uid"]
        for path in (DOCKER / "grafana" / "dashboards").glob("*.json")
    }
    found = httpx.get(stack.url("GRAFANA_PORT") + "/api/search", params={"type": "dash-db"})
    assert {one["uid"] for one in found.json()} == written


@pytest.mark.parametrize("service", ["service", "locust"])
def test_it_runs_without_root_without_rights_and_cannot_write(stack, service):
    status = stack.inside(service, "cat", "/proc/1/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["10001"] * 4
    assert int(facts["CapEff"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    done = stack.compose("exec", "-T", service, "touch", "/app/x", check=False)
    assert done.returncode != 0
    assert "Read-only" in done.stdout + done.stderr


def test_the_service_image_is_small_and_has_no_torch(stack):
    # All that stands above the base image lies in these two folders (test_images.py).
    sizes = stack.inside("service", "du", "-sxB1", "/opt/relist", "/app")
    total = sum(int(line.split()[0]) for line in sizes.splitlines())
    assert 50 * 10**6 < total < MOST_BYTES
    found = stack.inside(
        "service", "python", "-c", "import importlib.util as u; print(u.find_spec('torch'))"
    )
    assert found.strip() == "None"


def test_the_health_check_of_the_image_says_that_it_is_ready(stack):
    stack.inside("service", "python", "/app/health.py")


def test_the_locks_are_what_the_project_asks_for_today():
    """Asks the package index; torch's wheel may lie in a folder (TORCH_WHEELS)."""
    wheels = os.environ.get("TORCH_WHEELS")
    assert locks(["--check", *(["--torch-wheels", wheels] if wheels else [])]) == 0


def test_without_redis_answers_are_poorer_and_with_it_they_recover(stack):
    request = stack.requests(1)[0]
    stack.compose("stop", "redis")
    answer = stack.rerank(request)
    assert answer["degraded"] == ["user_features"]
    assert httpx.get(stack.url("SERVICE_PORT") + "/health/ready").status_code == 200

    stack.compose("start", "redis")
    until(lambda: stack.rerank(request)["degraded"] == [], 30.0, "whole answers again")
    hits = reads(stack, "hit")
    stack.rerank(request)
    assert reads(stack, "hit") == hits + 1  # Redis kept what it had


def test_sigterm_ends_the_service_in_order(stack):
    stack.compose("stop", "service")
    assert stack.exit_status("service") == 0


def test_all_images_were_built_here():
    assert set(BUILT) == {path.name.split(".")[0] for path in DOCKER.glob("*.Dockerfile")}
