"""Alert rules: each has an owner's page, a test where it fires and one where it does not."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.metric_names import exposed_series, series_in_expression

PROMETHEUS = Path(__file__).parents[2] / "docker" / "prometheus"
RULES = PROMETHEUS / "alerts.yml"
RUNBOOK = Path(__file__).parents[2] / "docs" / "how-to" / "runbook.md"
UNIT_TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
OBJECTIVE = {"page", "ticket"}


@cache
def recorded_and_alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_rules() -> list[dict[str, Any]]:
    return [rule for rule in recorded_and_alert_rules() if "alert" in rule]


def alerts_under_test() -> list[tuple[str, bool]]:
    """Name of every alert that a unit test looks at, and whether it is to fire there."""
    found = []
    for path in UNIT_TESTS:
        for group in yaml.safe_load(path.read_text())["tests"]:
            found += [(c["alertname"], bool(c["exp_alerts"])) for c in group["alert_rule_test"]]
    return found


def runbook_anchors() -> set[str]:
    """What a link into the runbook may end with."""
    titles = re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("alert", alert_rules(), ids=lambda a: a["alert"])
def test_alert_has_severity_summary_and_runbook(alert):
    page, _, anchor = alert["annotations"]["runbook"].partition("#")

    assert alert["labels"]["severity"] in OBJECTIVE
    assert len(alert["annotations"]["summary"]) > 20
    assert (page, anchor in runbook_anchors()) == ("docs/how-to/runbook.md", True)


def test_runbook_section_belongs_to_an_alert():
    used = {alert["annotations"]["runbook"].partition("#")[2] for alert in alert_rules()}
    assert runbook_anchors() == used


@pytest.mark.parametrize("alert", alert_rules(), ids=lambda a: a["alert"])
def test_alert_has_firing_and_silent_test(alert):
    assert {fires for name, fires in alerts_under_test() if name == alert["alert"]} == {True, False}


def test_alert_tests_name_existing_alerts():
    assert {name for name, _ in alerts_under_test()} == {alert["alert"] for alert in alert_rules()}


@pytest.mark.parametrize(
    "rule", recorded_and_alert_rules(), ids=lambda r: r.get("alert") or r["record"]
)
def test_rule_reads_only_known_series(rule):
    recorded = {r["record"] for r in recorded_and_alert_rules() if "record" in r}
    assert series_in_expression(rule["expr"]) <= exposed_series() | recorded


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda p: p.stem)
def test_alert_tests_keep_group_order(path):
    groups = [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]]
    assert yaml.safe_load(path.read_text())["group_eval_order"] == groups


@pytest.mark.prometheus
def test_rules_pass_promtool_check():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda p: p.stem)
def test_alert_unit_tests_pass(path):
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("test", "sound", "broken"),
    [
        ("page.yml", 'outcome!="rejected", le="0.05"', 'outcome!="rejected", le="0.25"'),
        ("ticket.yml", "sum by (job) (rate(rerank_unknown", "sum by (job) (rate(rerank_unkown"),
        ("healthy.yml", "/ sum by (job) (rate(rerank_candidates_total[1h]))\n          > 0.05", ""),
    ],
    ids=["another bucket", "another name", "no threshold"],
)
def test_alert_unit_tests_detect_broken_rule(tmp_path, test, sound, broken):
    text = RULES.read_text()
    assert sound in text
    (tmp_path / "alerts.yml").write_text(text.replace(sound, broken))
    shutil.copytree(PROMETHEUS / "tests", tmp_path / "tests")

    assert promtool("test", "rules", tmp_path / "tests" / test).returncode != 0
