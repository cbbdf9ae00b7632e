"""Summary sentences: Relist compared with each method by the headline metric of a scenario."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.baselines.registry import BASELINE_METHODS
from model.evaluation.benchmark.benchmark_scenario import NLGR_METHOD, RELIST_METHOD, Scenario
from model.evaluation.benchmark.metric_results import MetricResult, select_results
from model.evaluation.benchmark.result_tables import format_result, result_of_kind

# in order of preference: the first metric that a scenario has is its headline metric
HEADLINE_METRICS = {
    "true_share": "true share of the best list's gain (simulated)",
    "ndcg@10": "NDCG@10 by real labels",
    "holdout_value_ratio": "value ratio under the holdout evaluator",
    "value_ratio": "value ratio under the selecting evaluator",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodComparison:
    """The better of a method's list kinds, and the result of Relist (`reference`)."""

    method: str
    list_kind: str
    result: MetricResult
    reference: MetricResult

    @property
    def is_ahead(self) -> bool:
        """Whether the method has a higher value than the reference."""
        return self.result.value > self.reference.value

    @property
    def intervals_disjoint(self) -> bool:
        """Whether the 95 % intervals do not overlap; False if one of them is missing."""
        return _interval_above(self.result, self.reference) or _interval_above(
            self.reference, self.result
        )


def _interval_above(result: MetricResult, other: MetricResult) -> bool:
    """Whether the interval of `result` lies above that of `other`; False if one is missing."""
    if result.ci_low is None or other.ci_high is None:
        return False
    return result.ci_low > other.ci_high


def headline_sentences(results: Sequence[MetricResult], scenario: Scenario) -> list[str]:
    """Markdown lines of the summary; empty if the scenario has no headline metric."""
    scenario_results = select_results(results, scenario=scenario.name, seed=None)
    for metric, metric_text in HEADLINE_METRICS.items():
        experiment = "holdout" if metric == "holdout_value_ratio" else "comparison"
        rows = select_results(scenario_results, experiment=experiment, metric=metric)
        reference = result_of_kind(select_results(rows, method=RELIST_METHOD), "served")
        if reference is not None and not math.isnan(reference.value):
            others = _method_comparisons(rows, reference)
            return _comparison_sentences(metric_text, reference, others)
    return []


def _method_comparisons(
    rows: Sequence[MetricResult], reference: MetricResult
) -> list[MethodComparison]:
    out = []
    methods = (
        BASELINE_METHODS if reference.metric == "value_ratio" else (NLGR_METHOD, *BASELINE_METHODS)
    )
    for method in methods:
        method_rows = select_results(rows, method=method)
        by_kind = {kind: result_of_kind(method_rows, kind) for kind in ("single", "served")}
        measured = {kind: row for kind, row in by_kind.items() if row is not None}
        if measured:
            kind = max(measured, key=lambda k: measured[k].value)
            out.append(
                MethodComparison(
                    method=method, list_kind=kind, result=measured[kind], reference=reference
                )
            )
    return sorted(out, key=lambda comparison: -comparison.result.value)


def _comparison_sentences(
    metric_text: str, reference: MetricResult, others: Sequence[MethodComparison]
) -> list[str]:
    lines = [f"Metric: {metric_text}. Relist, served list: {format_result(reference)}.", ""]
    groups = (
        (
            "Better than Relist, intervals do not overlap",
            [a for a in others if a.is_ahead and a.intervals_disjoint],
        ),
        (
            "Better than Relist, intervals overlap",
            [a for a in others if a.is_ahead and not a.intervals_disjoint],
        ),
        (
            "Worse than Relist, intervals overlap",
            [a for a in others if not a.is_ahead and not a.intervals_disjoint],
        ),
        (
            "Worse than Relist, intervals do not overlap",
            [a for a in others if not a.is_ahead and a.intervals_disjoint],
        ),
    )
    for title, group in groups:
        shown = "; ".join(f"{a.method} ({a.list_kind}) {format_result(a.result)}" for a in group)
        lines.append(f"- {title}: {shown or 'none'}.")
    return [*lines, ""]
