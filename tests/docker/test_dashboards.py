"""Dashboards as code: the committed JSON is what the code says, and every panel is whole."""

import dataclasses
import re
from typing import Any, get_args

import pytest
import yaml

from docker.grafana.build_dashboards import DASHBOARD_DIR, DASHBOARDS
from docker.grafana.panels import PanelUnit, dashboard_json
from docker.grafana.prometheus_api import read_dashboard_panels, substitute_variables
from tests.docker.metric_names import exposed_series, series_in_expression

PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name in DASHBOARDS
    for panel in read_dashboard_panels(DASHBOARD_DIR / f"{name}.json")
    if panel["type"] != "row"
]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboard_json_matches_code(name):
    committed = (DASHBOARD_DIR / f"{name}.json").read_text(encoding="utf-8")
    assert committed == dashboard_json(DASHBOARDS[name]), "run `make dashboards`"


def test_dashboard_json_files_all_have_code():
    assert {path.stem for path in DASHBOARD_DIR.glob("*.json")} == set(DASHBOARDS)


def test_dashboard_json_changes_with_spec():
    board = DASHBOARDS["service"]
    assert dashboard_json(dataclasses.replace(board, title="Another")) != dashboard_json(board)


@pytest.mark.parametrize("panel", PANELS)
def test_panel_has_title_unit_and_description(panel):
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"] in get_args(PanelUnit)
    assert panel["description"].endswith(".")
    assert len(panel["description"]) > 30
    assert panel["targets"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panel_ids_and_positions_are_unique(name):
    panels: list[dict[str, Any]] = read_dashboard_panels(DASHBOARD_DIR / f"{name}.json")
    numbers = [panel["id"] for panel in panels if panel["type"] != "row"]
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(numbers)) == len(numbers)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("panel", PANELS)
def test_panel_query_reads_only_exposed_series(panel):
    for target in panel["targets"]:
        asked = series_in_expression(substitute_variables(target["expr"], 60))
        assert asked, target["expr"]
        assert asked <= exposed_series()


@pytest.mark.parametrize("panel", PANELS)
def test_panel_query_selects_job_and_instance(panel):
    for target in panel["targets"]:
        series = re.findall(r"\b(?:rerank|process|python|up)\w*\{[^}]*\}", target["expr"])
        assert series
        assert all('job="$job", instance=~"$instance"' in one for one in series)


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ('sum(rate(rerank_request_second_count{outcome="ok"}[5m]))', "rerank_request_second_count"),
        ('rerank_ready{job="x"} / rerank_redy', "rerank_redy"),
        ("histogram_quantile(0.5, rerank_reward_buckets)", "rerank_reward_buckets"),
    ],
)
def test_series_in_expression_finds_misspelled_name(expression, unknown):
    assert series_in_expression(expression) - exposed_series() == {unknown}


def test_grafana_provisioning_paths_match_compose():
    provisioning = DASHBOARD_DIR.parent / "provisioning"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "relist.yml").read_text())[
        "providers"
    ]
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    compose = yaml.safe_load((DASHBOARD_DIR.parents[1] / "compose.yml").read_text())["services"]

    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in compose["grafana"]["volumes"]
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in compose["grafana"]["volumes"]
    assert source["type"] == "prometheus"
    assert source["isDefault"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
