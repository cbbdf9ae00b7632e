"""Builds the Markdown page of a benchmark from results, figures and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.evaluation.benchmark import report_text, result_tables
from model.evaluation.benchmark.benchmark_scenario import Scenario
from model.evaluation.benchmark.headline_comparison import headline_sentences
from model.evaluation.benchmark.metric_results import MetricResult, select_results

COMPARISON_COLUMNS: result_tables.TableColumns = (
    ("true share, single", "single", "true_share"),
    ("true share, served", "served", "true_share"),
    ("truly worse, single", "single", "truly_worse"),
    ("truly worse, served", "served", "truly_worse"),
    ("value ratio, single", "single", "value_ratio"),
    ("value ratio, served", "served", "value_ratio"),
    ("HR@1%, served", "served", "hr@1%"),
    ("HR@10%, served", "served", "hr@10%"),
)
LABEL_COLUMNS: result_tables.TableColumns = tuple(
    (f"{name}@{cut}, {kind}", kind, f"{name.lower()}@{cut}")
    for kind in ("single", "served")
    for cut in (6, 10)
    for name in ("Precision", "NDCG", "MAP", "F1")
)
HOLDOUT_COLUMNS: result_tables.TableColumns = (
    ("by the selecting evaluator", "served", "value_ratio"),
    ("by the holdout evaluator", "served", "holdout_value_ratio"),
    ("in truth (simulated)", "served", "true_share"),
    ("truly worse", "served", "truly_worse"),
)
VARIANT_COLUMNS: result_tables.TableColumns = (
    ("value ratio, single", "single", "value_ratio"),
    ("value ratio, served", "served", "value_ratio"),
    ("true share, single", "single", "true_share"),
    ("true share, served", "served", "true_share"),
    ("HR@1%, single", "single", "hr@1%"),
    ("HR@10%, single", "single", "hr@10%"),
    ("unchanged, single", "single", "unchanged"),
)
RISK_COLUMNS = (
    ("true share", "true_share"),
    ("truly worse", "truly_worse"),
    ("unchanged", "unchanged"),
    ("true gain", "true_gain"),
    ("gain by the evaluator", "reward_gain"),
    ("NDCG@10", "ndcg@10"),
    ("MAP@10", "map@10"),
)
INPUT_ORDER_COLUMNS: result_tables.TableColumns = (
    ("unchanged, single", "single", "unchanged"),
    ("unchanged, served", "served", "unchanged"),
    ("true gain where changed, served", "served", "true_gain_changed"),
    ("truly worse where changed, served", "served", "truly_worse_changed"),
    ("true share, single", "single", "true_share"),
    ("true share, single, order shuffled", "shuffled", "true_share"),
    ("value ratio, single", "single", "value_ratio"),
    ("value ratio, single, order shuffled", "shuffled", "value_ratio"),
    ("NDCG@10, single", "single", "ndcg@10"),
    ("NDCG@10, single, order shuffled", "shuffled", "ndcg@10"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioReport:
    """Content of the page for one scenario.

    Attributes:
        scenario: log and configuration.
        log_summary: one sentence about the size of the log.
        results: rows of all scenarios.
        figures: name -> file name beside the page, for each drawn figure.
        neighborhood: values of `NeighborhoodJob`; empty if it did not run.
        overestimation: values of `OverestimationJob`; empty if it did not run.
    """

    scenario: Scenario
    log_summary: str
    results: Sequence[MetricResult]
    figures: dict[str, str]
    neighborhood: dict[str, Any]
    overestimation: dict[str, Any]


def render_page(reports: Sequence[ScenarioReport], facts: dict[str, str]) -> str:
    """The Markdown text of the page."""
    lines = [
        "# Benchmark: Relist and published rerankers",
        "",
        report_text.INTRODUCTION_TEXT,
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "## Summary",
        "",
    ]
    for report in reports:
        lines.append(f"**{report.scenario.title}.** ")
        lines += headline_sentences(report.results, report.scenario)
    for report in reports:
        lines += _scenario_section(report)
    return "\n".join(lines).rstrip() + "\n"


def _scenario_section(report: ScenarioReport) -> list[str]:
    rows = select_results(report.results, scenario=report.scenario.name)
    note = f" {report.scenario.note}" if report.scenario.note else ""
    lines = [f"## {report.scenario.title}", "", report.log_summary + note, ""]
    lines += _method_sections(report, rows)
    lines += _variant_sections(report, rows)
    lines += _neighborhood_section(report)
    curves = [*_figure_lines(report, "evaluators"), *_figure_lines(report, "generators")]
    return lines + _section(report_text.STABILITY_TITLE, "", curves)


def _method_sections(report: ScenarioReport, rows: Sequence[MetricResult]) -> list[str]:
    """Sections whose tables have a row for each method or risk aversion."""
    lines = _section(
        "Evaluator on logged lists",
        report_text.LOGGED_LISTS_TEXT,
        result_tables.logged_lists_table(rows),
    )
    lines += _section(
        "All methods",
        report_text.COMPARISON_TEXT,
        _figure_lines(report, "value"),
        result_tables.methods_table(rows, "comparison", COMPARISON_COLUMNS),
        result_tables.methods_table(rows, "comparison", LABEL_COLUMNS),
    )
    lines += _section(
        report_text.HOLDOUT_TITLE,
        report_text.HOLDOUT_TEXT,
        _figure_lines(report, "holdout"),
        result_tables.methods_table(rows, "holdout", HOLDOUT_COLUMNS),
    )
    lines += _section(
        report_text.RISK_TITLE,
        report_text.RISK_TEXT,
        _figure_lines(report, "risk_curve"),
        result_tables.risk_aversion_table(rows, RISK_COLUMNS),
        _overestimation_table(report),
    )
    return lines + _section(
        report_text.INPUT_ORDER_TITLE,
        report_text.INPUT_ORDER_TEXT,
        result_tables.methods_table(rows, "comparison", INPUT_ORDER_COLUMNS),
    )


def _variant_sections(report: ScenarioReport, rows: Sequence[MetricResult]) -> list[str]:
    """Sections whose tables have a row for each training variant."""
    epochs = report.scenario.ablation_epochs
    lines = _section(
        report_text.ABLATIONS_TITLE,
        report_text.ABLATIONS_TEXT.format(epochs=epochs),
        _figure_lines(report, "ablations"),
        result_tables.variants_table(rows, "ablations", VARIANT_COLUMNS),
    )
    lines += _section(
        report_text.CRU_LOSSES_TITLE,
        report_text.CRU_LOSSES_TEXT.format(epochs=epochs),
        _figure_lines(report, "cru_loss"),
        result_tables.variants_table(rows, "cru_loss", VARIANT_COLUMNS),
    )
    return lines + _section(
        report_text.GRADIENTS_TITLE,
        report_text.GRADIENTS_TEXT,
        _figure_lines(report, "gradients"),
        result_tables.variants_table(rows, "tau", VARIANT_COLUMNS),
    )


def _neighborhood_section(report: ScenarioReport) -> list[str]:
    values = report.neighborhood
    if not values:
        return []
    total = values["replaced"] + values["swapped"] + values["other"]
    text = report_text.NEIGHBORHOOD_TEXT.format(total=total, **values)
    title = f"### {report_text.NEIGHBORHOOD_TITLE}"
    return [title, "", text, "", *_figure_lines(report, "neighbors")]


def _overestimation_table(report: ScenarioReport) -> list[str]:
    if not report.overestimation:
        return []
    covering = report.overestimation["risk_aversion"]
    text = report_text.OVERESTIMATION_TEXT.format(
        covering="none up to 10" if covering is None else f"{covering:g}",
        configured=report.scenario.config.serving.risk_aversion,
    )
    names = ("risk_aversion", "predicted_gain", "member_std", "holdout_gain")
    lines = [
        [f"{point[name]:.4g}" for name in names]
        for point in report.overestimation["curve"]
        if point["risk_aversion"].is_integer()
    ]
    head = ("risk aversion", "predicted gain", "std over members", "gain by the holdout evaluator")
    return [text, "", *result_tables.markdown_table(head, lines)]


def _section(title: str, text: str, *body: list[str]) -> list[str]:
    """Lines of a section; empty if the body is empty, which means that the part did not run."""
    if not any(body):
        return []
    return [f"### {title}", "", *([text, ""] if text else []), *(line for b in body for line in b)]


def _figure_lines(report: ScenarioReport, name: str) -> list[str]:
    return [f"![{name}]({report.figures[name]})", ""] if name in report.figures else []
