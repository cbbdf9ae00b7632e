from __future__ import annotations

import pytest

from model.evaluation.benchmark.metric_results import MetricResult
from model.evaluation.benchmark.result_tables import format_result, result_of_kind, served_results


def metric_result(
    list_kind: str, value: float = 0.0, *, metric: str = "value_ratio"
) -> MetricResult:
    return MetricResult(
        scenario="p",
        experiment="comparison",
        method="m",
        seed=None,
        list_kind=list_kind,
        metric=metric,
        value=value,
    )


@pytest.mark.parametrize(
    ("efforts", "expected"), [((64, 4, 8, 1), 8), ((16, 1, 4), 4), ((1, 16), 1), ((16,), None)]
)
def test_result_of_kind_served_caps_effort_at_eight(efforts: tuple[int, ...], expected: int | None):
    rows = [
        metric_result("single"),
        *(metric_result(f"served{effort}") for effort in efforts),
        metric_result("shuffled_served"),
    ]

    result = result_of_kind(rows, "served")

    assert (None if result is None else result.list_kind) == (expected and f"served{expected}")


def test_served_results_sort_by_number():
    rows = [
        metric_result("served16"),
        metric_result("shuffled_served"),
        metric_result("served2"),
        metric_result("single"),
        metric_result("served8"),
    ]

    assert [row.list_kind for row in served_results(rows)] == ["served2", "served8", "served16"]


def test_format_result_request_shares_are_percent():
    assert format_result(metric_result("single", 0.25, metric="hr@1%")) == "25.0 %"
    assert format_result(metric_result("single", 0.25, metric="truly_worse")) == "25.0 %"
    assert format_result(metric_result("single", 0.25, metric="value_ratio")) == "0.250"
    assert format_result(metric_result("single", float("nan"))) == ""
