"""The Markdown page. Sections in the order of the questions that readers ask."""

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
    """What the page shows of one problem.

    figures: name -> file beside the page, those that could be drawn.
    neighbors: numbers of `NeighborhoodJob`. optimism: of `OverestimationJob`.
    """

    scenario: Scenario
    log_summary: str
    results: Sequence[MetricResult]
    figures: dict[str, str]
    neighborhood: dict[str, Any]
    overestimation: dict[str, Any]


def render_page(reports: Sequence[ScenarioReport], facts: dict[str, str]) -> str:
    """The whole page."""
    lines = [
        "# How Relist stands beside the field",
        "",
        report_text.INTRODUCTION_TEXT,
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "## What it says, losses first",
        "",
    ]
    for one in reports:
        lines += [f"**{one.scenario.title}.** ", *headline_sentences(one.results, one.scenario)]
    for one in reports:
        lines += _scenario_section(one)
    return "\n".join(lines).rstrip() + "\n"


def _scenario_section(report: ScenarioReport) -> list[str]:
    rows = select_results(report.results, scenario=report.scenario.name)
    note = f" {report.scenario.note}" if report.scenario.note else ""
    lines = [f"## {report.scenario.title}", "", report.log_summary + note, ""]
    lines += ["### The evaluator first", "", *result_tables.logged_lists_table(rows)]
    lines += ["### All methods", "", *_figure_lines(report, "value")]
    lines += result_tables.methods_table(rows, "comparison", COMPARISON_COLUMNS)
    lines += result_tables.methods_table(rows, "comparison", LABEL_COLUMNS)
    judges = result_tables.methods_table(rows, "holdout", HOLDOUT_COLUMNS)
    lines += _section(
        report_text.HOLDOUT_TITLE,
        report_text.HOLDOUT_TEXT,
        _figure_lines(report, "holdout"),
        judges,
    )
    caution = result_tables.risk_aversion_table(rows, RISK_COLUMNS)
    caution += _overestimation_table(report)
    lines += _section(
        "How careful to be", report_text.RISK_TEXT, _figure_lines(report, "risk_curve"), caution
    )
    copying = result_tables.methods_table(rows, "comparison", INPUT_ORDER_COLUMNS)
    lines += _section(
        "Copying the input, and leaning on its order", report_text.INPUT_ORDER_TEXT, copying
    )
    text = report_text.ABLATIONS_TEXT.format(epochs=report.scenario.ablation_epochs)
    variants = result_tables.variants_table(rows, "ablations", VARIANT_COLUMNS)
    lines += _section(
        "Ablations of the published method", text, _figure_lines(report, "ablations"), variants
    )
    variants = result_tables.variants_table(rows, "cru_loss", VARIANT_COLUMNS)
    text = report_text.CRU_LOSSES_TEXT.format(epochs=report.scenario.ablation_epochs)
    title = "Three ways to teach the CRU, and what collapse looks like"
    lines += _section(title, text, _figure_lines(report, "cru_loss"), variants)
    variants = result_tables.variants_table(rows, "tau", VARIANT_COLUMNS)
    lines += _section(
        "Gradient flow", report_text.GRADIENTS_TEXT, _figure_lines(report, "gradients"), variants
    )
    lines += _neighborhood_section(report)
    pictures = [*_figure_lines(report, "evaluators"), *_figure_lines(report, "generators")]
    return lines + _section("Stability, seed by seed", "", pictures)


def _neighborhood_section(report: ScenarioReport) -> list[str]:
    n = report.neighborhood
    if not n:
        return []
    text = report_text.NEIGHBORHOOD_TEXT.format(
        total=n["replaced"] + n["swapped"] + n["other"], **n
    )
    return ["### One edit away", "", text, "", *_figure_lines(report, "neighbors")]


def _overestimation_table(report: ScenarioReport) -> list[str]:
    if not report.overestimation:
        return []
    found = report.overestimation["risk_aversion"]
    told = "none up to 10" if found is None else f"{found:g}"
    text = report_text.OVERESTIMATION_TEXT.format(
        found=told, configured=report.scenario.config.serving.risk_aversion
    )
    lines = [
        [
            f"{point[name]:.4g}"
            for name in ("risk_aversion", "predicted_gain", "member_std", "holdout_gain")
        ]
        for point in report.overestimation["curve"]
        if point["risk_aversion"].is_integer()
    ]
    head = ("risk aversion", "predicted gain", "std over members", "by the holdout evaluator")
    return [text, "", *result_tables.markdown_table(head, lines)]


def _section(title: str, text: str, *body: list[str]) -> list[str]:
    """Nothing where the body is empty: that part was not asked of this problem."""
    if not any(body):
        return []
    return [f"### {title}", "", *([text, ""] if text else []), *(line for b in body for line in b)]


def _figure_lines(report: ScenarioReport, name: str) -> list[str]:
    return [f"![{name}]({report.figures[name]})", ""] if name in report.figures else []
