from __future__ import annotations

import pytest

from model.evaluation.benchmark.headline_comparison import MethodComparison
from model.evaluation.benchmark.metric_results import MetricResult


def metric_result(value: float, ci_low: float | None, ci_high: float | None) -> MetricResult:
    return MetricResult(
        scenario="p",
        experiment="comparison",
        method="m",
        seed=None,
        list_kind="served8",
        metric="x",
        value=value,
        ci_low=ci_low,
        ci_high=ci_high,
    )


@pytest.mark.parametrize(
    ("result", "is_ahead", "disjoint"),
    [
        (metric_result(0.9, 0.7, 1.0), True, True),
        (metric_result(0.6, 0.55, 0.7), True, False),  # 0.55 is within the reference interval
        (metric_result(0.4, 0.3, 0.5), False, False),
        (metric_result(0.1, 0.0, 0.2), False, True),
        (metric_result(0.9, None, None), True, False),  # no interval
        (metric_result(0.9, float("nan"), float("nan")), True, False),
    ],
)
def test_method_comparison_without_overlap_has_disjoint_intervals(
    result: MetricResult, is_ahead: bool, disjoint: bool
):
    comparison = MethodComparison(
        method="m", list_kind="served", result=result, reference=metric_result(0.5, 0.4, 0.6)
    )

    assert (comparison.is_ahead, comparison.intervals_disjoint) == (is_ahead, disjoint)
