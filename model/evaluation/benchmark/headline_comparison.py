"""What the comparison says, losses first: ours against each method, by the headline measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.baselines.registry import BASELINE_METHODS
from model.evaluation.benchmark.benchmark_scenario import NLGR_METHOD, RELIST_METHOD, Scenario
from model.evaluation.benchmark.metric_results import MetricResult, select_results
from model.evaluation.benchmark.result_tables import format_result, result_of_kind

# measured of lists whatever evaluator is asked; the first that a problem knows is its headline
HEADLINE_METRICS = {
    "true_share": "true share of the best list's gain (simulated)",
    "ndcg@10": "NDCG@10 by real labels",
    "holdout_value_ratio": "value ratio under the holdout evaluator",
    "value_ratio": "value ratio under the selecting evaluator",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodComparison:
    """One method beside ours: its better way of use, and by how much."""

    method: str
    list_kind: str
    result: MetricResult
    reference: MetricResult

    @property
    def is_ahead(self) -> bool:
        """Whether the method has more than ours."""
        return self.result.value > self.reference.value

    @property
    def intervals_disjoint(self) -> bool:
        """Whether the intervals stand apart."""
        return _interval_above(self.result, self.reference) or _interval_above(
            self.reference, self.result
        )


def _interval_above(one: MetricResult, other: MetricResult) -> bool:
    """Whether the interval of one lies above that of the other; False where one has none."""
    return one.ci_low is not None and other.ci_high is not None and one.ci_low > other.ci_high


def headline_sentences(results: Sequence[MetricResult], scenario: Scenario) -> list[str]:
    """Sentences in Markdown; empty where nothing was measured that all methods share."""
    some = select_results(results, scenario=scenario.name, seed=None)
    for measure, named in HEADLINE_METRICS.items():
        part = "holdout" if measure == "holdout_value_ratio" else "comparison"
        found = select_results(some, experiment=part, metric=measure)
        ours = result_of_kind(select_results(found, method=RELIST_METHOD), "served")
        if ours is not None and not math.isnan(ours.value):
            return _comparison_sentences(named, ours, _method_comparisons(found, ours))
    return []


def _method_comparisons(
    rows: Sequence[MetricResult], reference: MetricResult
) -> list[MethodComparison]:
    out = []
    methods = (
        BASELINE_METHODS if reference.metric == "value_ratio" else (NLGR_METHOD, *BASELINE_METHODS)
    )  # own judge
    for method in methods:
        own = select_results(rows, method=method)
        held = {kind: result_of_kind(own, kind) for kind in ("single", "served")}
        known = {kind: row for kind, row in held.items() if row is not None}
        if known:
            kind = max(known, key=lambda k: known[k].value)
            out.append(
                MethodComparison(
                    method=method, list_kind=kind, result=known[kind], reference=reference
                )
            )
    return sorted(out, key=lambda against: -against.result.value)


def _comparison_sentences(
    metric_text: str, reference: MetricResult, others: Sequence[MethodComparison]
) -> list[str]:
    lines = [f"By {metric_text}, ours serves {format_result(reference)}.", ""]
    groups = (
        (
            "Ahead of it, beyond the intervals",
            [a for a in others if a.is_ahead and a.intervals_disjoint],
        ),
        (
            "Ahead of it, within the intervals",
            [a for a in others if a.is_ahead and not a.intervals_disjoint],
        ),
        (
            "Behind it, within the intervals",
            [a for a in others if not a.is_ahead and not a.intervals_disjoint],
        ),
        (
            "Behind it, beyond the intervals",
            [a for a in others if not a.is_ahead and a.intervals_disjoint],
        ),
    )
    for title, group in groups:
        shown = "; ".join(f"{a.method} ({a.list_kind}) {format_result(a.result)}" for a in group)
        lines.append(f"- {title}: {shown or 'nothing'}.")
    return [*lines, ""]
