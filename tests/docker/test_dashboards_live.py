"""Every query of every panel, asked of a real Prometheus after real traffic, has an answer."""

import asyncio

import httpx
import pytest

from docker.grafana.build_dashboards import DASHBOARD_DIR, DASHBOARDS
from docker.grafana.draw_dashboards import draw_all_dashboards
from docker.grafana.prometheus_api import query_panel, read_dashboard_panels
from tests.docker.live_stack import ServedRun, run_scenario, start_live_stack
from tests.docker.test_alerts import recorded_and_alert_rules
from tests.docker.test_dashboards import PANELS
from tests.tiny_artifact import tiny_artifact

pytestmark = [pytest.mark.prometheus, pytest.mark.redis]
RATE_INTERVAL_S = 10


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Two workers with a candidate, to whose callers everything has happened."""
    folder = tmp_path_factory.mktemp("artifact")
    run = ServedRun.from_folders(tiny_artifact(folder), folder / "handover")
    with start_live_stack(
        run, scrape_s=0.5, max_inflight=2, max_waiting=2, feature_budget_ms=40
    ) as on:
        asyncio.run(run_scenario(on, seconds=10.0, rate=25.0, crowd=30))
        yield on, on.time_range(0.5, RATE_INTERVAL_S)


@pytest.mark.parametrize("panel", PANELS)
def test_panel_query_returns_data(played, panel):
    on, window = played
    for target, lines in zip(
        panel["targets"], query_panel(on.prometheus, panel, window), strict=True
    ):
        assert lines, target["expr"]
        assert all("{{" not in line.name for line in lines), target["legendFormat"]


@pytest.mark.parametrize(
    ("name", "title", "lines"),
    [
        ("service", "Requests by outcome", {"ok", "degraded", "rejected", "disconnected"}),
        ("service", "Rejected by error code", {"overloaded", "malformed_json", "limit_exceeded"}),
        ("quality", "Answers by artifact", {"current", "canary"}),
        ("quality", "Shadow runs", {"done"}),
        ("features", "Reads by outcome", {"hit", "miss", "timeout", "down"}),
    ],
)
def test_panel_shows_series_of_simulated_faults(played, name, title, lines):
    on, window = played
    [panel] = [
        p for p in read_dashboard_panels(DASHBOARD_DIR / f"{name}.json") if p["title"] == title
    ]
    found = [line for query in query_panel(on.prometheus, panel, window) for line in query]
    seen = {line.name for line in found if max(line.values) > 0}
    assert lines <= seen


def test_prometheus_evaluates_every_rule(played):
    on, _ = played
    groups = httpx.get(f"{on.prometheus}/api/v1/rules").json()["data"]["groups"]
    loaded = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    assert loaded == {
        rule.get("alert") or rule["record"]: "ok" for rule in recorded_and_alert_rules()
    }
    for name in (rule["record"] for rule in recorded_and_alert_rules() if "record" in rule):
        found = httpx.get(f"{on.prometheus}/api/v1/query", params={"query": name}).json()
        assert found["data"]["result"], name


def test_draw_all_dashboards_writes_png_files(played, tmp_path):
    on, window = played
    draw_all_dashboards(on.prometheus, window, tmp_path)
    for name in DASHBOARDS:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
