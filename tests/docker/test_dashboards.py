"""Dashboards as code: the committed JSON is what the code says, and every panel is whole."""

import dataclasses
import re
from typing import Any, get_args

import pytest
import yaml

from docker.grafana.build import BOARDS, FOLDER
from docker.grafana.panels import Unit, to_json
from docker.grafana.prometheus_api import fill_in, read_panels
from tests.docker.names import metrics_of, shown_metrics

PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name in BOARDS
    for panel in read_panels(FOLDER / f"{name}.json")
    if panel["type"] != "row"
]


@pytest.mark.parametrize("name", BOARDS)
def test_the_committed_json_is_what_the_code_makes(name):
    committed = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert committed == to_json(BOARDS[name]), "run `make dashboards`"


def test_there_is_no_dashboard_without_code():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(BOARDS)


def test_a_change_of_the_code_is_seen_in_the_json():
    board = BOARDS["service"]
    assert to_json(dataclasses.replace(board, title="Another")) != to_json(board)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows_in_which_unit_and_how_to_read_it(panel):
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"] in get_args(Unit)
    assert panel["description"].endswith(".")
    assert len(panel["description"]) > 30
    assert panel["targets"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_numbers_and_places_of_their_own(name):
    panels: list[dict[str, Any]] = read_panels(FOLDER / f"{name}.json")
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
def test_a_query_asks_only_for_what_the_service_shows(panel):
    for target in panel["targets"]:
        asked = metrics_of(fill_in(target["expr"], 60))
        assert asked, target["expr"]
        assert asked <= shown_metrics()


@pytest.mark.parametrize("panel", PANELS)
def test_a_query_can_be_narrowed_to_a_job_and_its_processes(panel):
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
def test_a_misspelt_name_is_seen(expression, unknown):
    assert metrics_of(expression) - shown_metrics() == {unknown}


def test_grafana_finds_dashboards_and_data_where_the_containers_put_them():
    provisioning = FOLDER.parent / "provisioning"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "relist.yml").read_text())[
        "providers"
    ]
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    compose = yaml.safe_load((FOLDER.parents[1] / "compose.yml").read_text())["services"]

    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in compose["grafana"]["volumes"]
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in compose["grafana"]["volumes"]
    assert source["type"] == "prometheus"
    assert source["isDefault"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
