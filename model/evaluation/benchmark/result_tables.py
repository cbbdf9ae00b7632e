"""Formats benchmark results as Markdown tables. Computes no results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from model.baselines.registry import BASELINE_METHODS
from model.evaluation.benchmark.benchmark_plan import ABLATIONS, RISK_AVERSIONS
from model.evaluation.benchmark.benchmark_scenario import NLGR_METHOD, RELIST_METHOD
from model.evaluation.benchmark.metric_results import MetricResult, select_results
from model.evaluation.benchmark.proposal_jobs import SERVED_LIST_COUNT

PERCENT_METRICS = frozenset({"truly_worse", "unchanged", "truly_worse_changed"})
DISPLAY_NAMES = {RELIST_METHOD: "**Relist**", NLGR_METHOD: "NLGR, as published"}
NLGR_PAPER = "2502.06097"
TableColumns = Sequence[tuple[str, str, str]]  # heading, list kind, metric


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table; empty if there are no rows."""
    body = [f"| {' | '.join(line)} |" for line in rows]
    if not body:
        return []
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *body, ""]


def methods_table(
    results: Sequence[MetricResult], experiment: str, columns: TableColumns
) -> list[str]:
    """A row for each method, Relist first. `served` is K = 8, or the largest effort up to 8."""
    some = select_results(results, experiment=experiment, seed=None)
    names = [
        name
        for name in (RELIST_METHOD, NLGR_METHOD, *BASELINE_METHODS)
        if select_results(some, method=name)
    ]
    present = [c for c in columns if any(format_cell(some, name, c[1], c[2]) for name in names)]
    lines = []
    for name in names if present else []:
        family = BASELINE_METHODS[name].family if name in BASELINE_METHODS else "generator"
        paper = BASELINE_METHODS[name].paper if name in BASELINE_METHODS else NLGR_PAPER
        cells = [format_cell(some, name, kind, measure) for _, kind, measure in present]
        lines.append(
            [DISPLAY_NAMES.get(name, name), family, paper, *(text or "-" for text in cells)]
        )
    return markdown_table(["method", "family", "paper", *(head for head, _, _ in present)], lines)


def variants_table(
    results: Sequence[MetricResult], experiment: str, columns: TableColumns
) -> list[str]:
    """A row for each training variant, in the order of the plan."""
    some = select_results(results, experiment=experiment, seed=None)
    order = [n for n in ABLATIONS if select_results(some, method=n)]
    names = order or list(dict.fromkeys(row.method for row in some))
    present = [c for c in columns if any(format_cell(some, name, c[1], c[2]) for name in names)]
    return markdown_table(
        ["variant", *(head for head, _, _ in present)],
        ([n, *(format_cell(some, n, kind, m) or "-" for _, kind, m in present)] for n in names),
    )


def risk_aversion_table(
    results: Sequence[MetricResult], columns: Sequence[tuple[str, str]]
) -> list[str]:
    """A row for each risk aversion; columns are pairs of heading and metric."""
    some = select_results(results, experiment="risk_curve", method=RELIST_METHOD, seed=None)
    kinds = [f"risk_aversion{weight:g}" for weight in RISK_AVERSIONS]
    present = [
        c for c in columns if any(format_cell(some, RELIST_METHOD, kind, c[1]) for kind in kinds)
    ]
    lines = [
        [
            kind.removeprefix("risk_aversion"),
            *(format_cell(some, RELIST_METHOD, kind, m) or "-" for _, m in present),
        ]
        for kind in kinds
    ]
    return markdown_table(
        ["risk aversion", *(head for head, _ in present)], lines if present else []
    )


def format_cell(results: Sequence[MetricResult], method: str, kind: str, metric: str) -> str:
    """Value, interval and standard deviation of one number; empty if it was not measured."""
    row = result_of_kind(select_results(results, method=method, metric=metric), kind)
    return "" if row is None else format_result(row)


def result_of_kind(results: Sequence[MetricResult], kind: str) -> MetricResult | None:
    """The row of this list kind; `served` is the largest K up to 8. None if it is missing."""
    if kind != "served":
        return next(iter(select_results(results, list_kind=kind)), None)
    served = [row for row in served_results(results) if _search_effort(row) <= SERVED_LIST_COUNT]
    return served[-1] if served else None


def served_results(results: Sequence[MetricResult]) -> list[MetricResult]:
    """Rows of served lists, sorted by K or search effort."""
    return sorted(
        (row for row in results if row.list_kind.startswith("served")), key=_search_effort
    )


def _search_effort(row: MetricResult) -> int:
    return int(row.list_kind.removeprefix("served"))


def format_result(result: MetricResult) -> str:
    """`0.231 [0.20, 0.26] ±.01`; in percent if the metric is a share of requests."""
    if math.isnan(result.value):
        return ""
    percent = result.metric in PERCENT_METRICS or result.metric.startswith("hr@")
    scale, unit, places = (100.0, " %", 1) if percent else (1.0, "", 3)
    text = f"{scale * result.value:.{places}f}{unit}"
    if result.ci_low is not None and result.ci_high is not None and not math.isnan(result.ci_low):
        text += f" [{scale * result.ci_low:.{places}f}, {scale * result.ci_high:.{places}f}]"
    if result.seed_std is not None:
        text += f" ±{scale * result.seed_std:.{places}f}"
    return text


def logged_lists_table(results: Sequence[MetricResult]) -> list[str]:
    """Metrics of evaluators and simple orders on logged lists, mean over seeds."""
    some = select_results(results, experiment="logged")
    names = ("auc", "gauc", "ndcg@5", "ndcg@10", "logloss", "ece", "ece_by_chance")
    orders = list(dict.fromkeys(row.method for row in some))
    lines = []
    for order in orders:
        rows = select_results(some, method=order)
        lines.append(
            [order, *(_formatted_mean(select_results(rows, metric=name)) for name in names)]
        )
    return markdown_table(["order of logged lists", *names], lines)


def _formatted_mean(rows: Sequence[MetricResult]) -> str:
    return f"{sum(row.value for row in rows) / len(rows):.4f}" if rows else ""
