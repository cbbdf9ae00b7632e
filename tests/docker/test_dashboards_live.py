"""Every query of every panel, asked of a real Prometheus after real traffic, has an answer."""

import asyncio

import httpx
import pytest

from docker.grafana.build import BOARDS, FOLDER
from docker.grafana.draw import draw_all
from docker.grafana.prometheus_api import ask_panel, read_panels
from tests.artifacts import tiny_artifact
from tests.docker.stage import Run, play, stage
from tests.docker.test_alerts import rules
from tests.docker.test_dashboards import PANELS

pytestmark = [pytest.mark.prometheus, pytest.mark.redis]
RATE_INTERVAL_S = 10


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Two workers with a candidate, to whose callers everything has happened."""
    folder = tmp_path_factory.mktemp("artifact")
    run = Run.of(tiny_artifact(folder), folder / "handover")
    with stage(run, scrape_s=0.5, max_inflight=2, max_waiting=2, feature_budget_ms=40) as on:
        asyncio.run(play(on, seconds=10.0, rate=25.0, crowd=30))
        yield on, on.window(0.5, RATE_INTERVAL_S)


@pytest.mark.parametrize("panel", PANELS)
def test_every_query_has_an_answer(played, panel):
    on, window = played
    for target, lines in zip(
        panel["targets"], ask_panel(on.prometheus, panel, window), strict=True
    ):
        assert lines, target["expr"]
        assert all("{{" not in line.name for line in lines), target["legendFormat"]


@pytest.mark.parametrize(
    ("name", "title", "lines"),
    [
        ("service", "Requests by outcome", {"ok", "degraded", "refused", "gone"}),
        ("service", "Refused by reason", {"overloaded", "malformed_json", "limit_exceeded"}),
        ("quality", "Answers by artifact", {"current", "candidate"}),
        ("quality", "Shadow runs", {"done"}),
        ("features", "Reads by outcome", {"hit", "unknown", "timeout", "down"}),
    ],
)
def test_what_happened_is_seen(played, name, title, lines):
    on, window = played
    [panel] = [p for p in read_panels(FOLDER / f"{name}.json") if p["title"] == title]
    found = [line for query in ask_panel(on.prometheus, panel, window) for line in query]
    seen = {line.name for line in found if max(line.values) > 0}
    assert lines <= seen


def test_prometheus_evaluates_every_rule_and_every_ratio_has_a_value(played):
    on, _ = played
    groups = httpx.get(f"{on.prometheus}/api/v1/rules").json()["data"]["groups"]
    loaded = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    assert loaded == {rule.get("alert") or rule["record"]: "ok" for rule in rules()}
    for name in (rule["record"] for rule in rules() if "record" in rule):
        found = httpx.get(f"{on.prometheus}/api/v1/query", params={"query": name}).json()
        assert found["data"]["result"], name


def test_each_dashboard_is_drawn(played, tmp_path):
    on, window = played
    draw_all(on.prometheus, window, tmp_path)
    for name in BOARDS:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
