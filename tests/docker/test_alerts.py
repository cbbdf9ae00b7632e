"""Alert rules: each has an owner's page, a test where it fires and one where it does not."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.names import metrics_of, shown_metrics

PROMETHEUS = Path(__file__).parents[2] / "docker" / "prometheus"
RULES = PROMETHEUS / "alerts.yml"
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
OBJECTIVE = {"page", "ticket"}


@cache
def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def checked() -> list[tuple[str, bool]]:
    """Name of every alert that a unit test looks at, and whether it is to fire there."""
    found = []
    for path in UNIT_TESTS:
        for group in yaml.safe_load(path.read_text())["tests"]:
            found += [(c["alertname"], bool(c["exp_alerts"])) for c in group["alert_rule_test"]]
    return found


def anchors() -> set[str]:
    """What a link into the runbook may end with."""
    titles = re.findall(r"^## (.+)$", (PROMETHEUS.parent / "RUNBOOK.md").read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("alert", alerts(), ids=lambda a: a["alert"])
def test_an_alert_says_how_urgent_it_is_what_is_the_matter_and_where_to_read_on(alert):
    page, _, anchor = alert["annotations"]["runbook"].partition("#")

    assert alert["labels"]["severity"] in OBJECTIVE
    assert len(alert["annotations"]["summary"]) > 20
    assert (page, anchor in anchors()) == ("docker/RUNBOOK.md", True)


def test_every_part_of_the_runbook_belongs_to_an_alert():
    used = {alert["annotations"]["runbook"].partition("#")[2] for alert in alerts()}
    assert anchors() == used


@pytest.mark.parametrize("alert", alerts(), ids=lambda a: a["alert"])
def test_an_alert_has_a_test_where_it_fires_and_one_where_it_does_not(alert):
    assert {fires for name, fires in checked() if name == alert["alert"]} == {True, False}


def test_no_unit_test_speaks_of_an_alert_that_is_not_there():
    assert {name for name, _ in checked()} == {alert["alert"] for alert in alerts()}


@pytest.mark.parametrize("rule", rules(), ids=lambda r: r.get("alert") or r["record"])
def test_a_rule_uses_only_what_the_service_shows_or_another_rule_records(rule):
    recorded = {r["record"] for r in rules() if "record" in r}
    assert metrics_of(rule["expr"]) <= shown_metrics() | recorded


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda p: p.stem)
def test_a_unit_test_evaluates_the_groups_in_the_order_of_the_rules(path):
    groups = [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]]
    assert yaml.safe_load(path.read_text())["group_eval_order"] == groups


@pytest.mark.prometheus
def test_promtool_finds_no_fault_with_the_rules():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda p: p.stem)
def test_alerts_fire_when_they_should_and_only_then(path):
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("test", "sound", "broken"),
    [
        ("page.yml", 'outcome!="refused", le="0.05"', 'outcome!="refused", le="0.25"'),
        ("ticket.yml", "sum by (job) (rate(rerank_unknown", "sum by (job) (rate(rerank_unkown"),
        ("healthy.yml", "/ sum by (job) (rate(rerank_candidates_total[1h]))\n          > 0.05", ""),
    ],
    ids=["another bucket", "another name", "no threshold"],
)
def test_a_rule_that_was_broken_is_seen(tmp_path, test, sound, broken):
    text = RULES.read_text()
    assert sound in text
    (tmp_path / "alerts.yml").write_text(text.replace(sound, broken))
    shutil.copytree(PROMETHEUS / "tests", tmp_path / "tests")

    assert promtool("test", "rules", tmp_path / "tests" / test).returncode != 0
