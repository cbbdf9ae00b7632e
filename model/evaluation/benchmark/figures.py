"""Draws the figures of the benchmark page as PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from model.baselines.registry import BASELINE_METHODS
from model.evaluation.benchmark.benchmark_plan import ABLATIONS, RISK_AVERSIONS
from model.evaluation.benchmark.benchmark_scenario import NLGR_METHOD, RELIST_METHOD
from model.evaluation.benchmark.metric_results import MetricResult, select_results
from model.evaluation.benchmark.result_tables import result_of_kind, served_results

FAMILY_COLORS = {
    "order": "#8c8c8c",
    "listwise": "#3b78b5",
    "generator": "#3a9a5c",
    "search": "#b07d2b",
}
RELIST_COLOR = "#c8343a"
MARKERS = "osD^vP*Xhd<>p"
FIGURE_STYLE: Any = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6", "figure.dpi": 130, "savefig.bbox": "tight",
}  # fmt: skip


def plot_value_against_latency(results: Sequence[MetricResult], scenario: str, path: Path) -> bool:
    """Plot value ratio and true share against latency; returns whether there was data."""
    known = [m for m in ("value_ratio", "true_share") if _has_metric(results, scenario, m)]
    if not known:
        return False
    figure, axes = _panels(6.4 * len(known), 4.6, len(known))
    names = {"value_ratio": "value ratio by the evaluator", "true_share": "true share"}
    for axis, metric in zip(axes, known, strict=True):
        for number, method in enumerate((*BASELINE_METHODS, NLGR_METHOD, RELIST_METHOD)):
            marker = MARKERS[number % len(MARKERS)]
            _plot_method(
                axis, results, scenario=scenario, method=method, metric=metric, marker=marker
            )
        axis.set(xscale="log", xlabel="milliseconds a request, PyTorch, one thread")
        axis.set_ylabel(f"{names[metric]} of the served list")
        axis.axhline(0.0, color="#444444", linewidth=0.8)
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _save(figure, path)


def _plot_method(
    axis: Axes,
    rows: Sequence[MetricResult],
    *,
    scenario: str,
    method: str,
    metric: str,
    marker: str,
) -> None:
    """Plot the metric of one method against its latency, a point for each K or effort."""
    ms = {
        row.list_kind: row.value
        for row in select_results(rows, scenario=scenario, experiment="times", method=method)
    }
    compared = select_results(
        rows, scenario=scenario, experiment="comparison", method=method, metric=metric, seed=None
    )
    served = [row for row in served_results(compared) if row.list_kind in ms]
    if not served:
        return
    family = BASELINE_METHODS[method].family if method in BASELINE_METHODS else "generator"
    is_relist = method == RELIST_METHOD
    color = RELIST_COLOR if is_relist else FAMILY_COLORS[family]
    axis.plot(
        [ms[row.list_kind] for row in served],
        [row.value for row in served],
        marker=marker,
        color=color,
        label=method,
        linewidth=2.4 if is_relist else 1.0,
        markersize=6 if is_relist else 4,
        zorder=5 if is_relist else 2,
        alpha=1.0 if is_relist else 0.85,
    )


def plot_holdout_evaluators(results: Sequence[MetricResult], scenario: str, path: Path) -> bool:
    """Bars by method: gain by the selecting evaluator, by the holdout evaluator, and in truth."""
    part = select_results(results, scenario=scenario, experiment="holdout", seed=None)
    methods = [
        m for m in (RELIST_METHOD, NLGR_METHOD, *BASELINE_METHODS) if select_results(part, method=m)
    ]
    measures = {"value_ratio": "selecting evaluator", "holdout_value_ratio": "holdout evaluator",
                "true_share": "truth"}  # fmt: skip
    if not methods:
        return False
    figure, (axis,) = _panels(9.5, 3.8)
    for number, (metric, label) in enumerate(measures.items()):
        rows = select_results(part, metric=metric)
        bars = [result_of_kind(select_results(rows, method=m), "served") for m in methods]
        if any(row is not None for row in bars):
            x = np.arange(len(methods)) + 0.27 * (number - 1)
            color = (FAMILY_COLORS["listwise"], FAMILY_COLORS["search"], RELIST_COLOR)[number]
            height = [row.value if row else 0.0 for row in bars]
            axis.bar(x, height, 0.25, label=label, color=color, yerr=_error_bars(bars), capsize=1.5)
    axis.set_xticks(np.arange(len(methods)), methods, rotation=40, ha="right")
    axis.set_ylabel("share of the best list's gain")
    axis.legend(frameon=False)
    return _save(figure, path)


def plot_neighbor_gains(input_gains: np.ndarray, single_gains: np.ndarray, path: Path) -> bool:
    """Histogram of the gains of neighbors of the input list and of the generator's list."""
    figure, (axis,) = _panels(6.4, 3.4)
    low, high = np.percentile(np.concatenate([input_gains, single_gains]), [0.2, 99.8])
    edges = np.linspace(low, high, 80)
    for gains, label, color in (
        (input_gains, "around the input list", FAMILY_COLORS["order"]),
        (single_gains, "around the generator's list", RELIST_COLOR),
    ):
        share = f"{label}: {(gains > 0).mean():.1%} better"
        axis.hist(gains, edges.tolist(), density=True, histtype="step", color=color, label=share)
    axis.axvline(0.0, color="#444444", linewidth=0.8)
    axis.set(xlabel="gain of a neighbor by the evaluator", ylabel="density")
    axis.legend(frameon=False)
    return _save(figure, path)


def plot_risk_curve(results: Sequence[MetricResult], scenario: str, path: Path) -> bool:
    """Plot true share against truly worse lists by risk aversion; False without true values."""
    part = select_results(
        results, scenario=scenario, experiment="risk_curve", method=RELIST_METHOD, seed=None
    )
    kinds = [f"risk_aversion{weight:g}" for weight in RISK_AVERSIONS]
    worse, share = (
        [select_results(part, list_kind=kind, metric=measure) for kind in kinds]
        for measure in ("truly_worse", "true_share")
    )
    if not all(worse) or not all(share):
        return False
    figure, (axis,) = _panels(5.6, 3.8)
    x, y = [100.0 * rows[0].value for rows in worse], [rows[0].value for rows in share]
    x_error = 100.0 * _error_bars([rows[0] for rows in worse])
    y_error = _error_bars([rows[0] for rows in share])
    axis.errorbar(x, y, y_error, x_error, fmt="o-", color=RELIST_COLOR, ecolor="#e0a0a4", capsize=2)
    for weight, point in zip(RISK_AVERSIONS, zip(x, y, strict=True), strict=True):
        axis.annotate(f"{weight:g}", point, textcoords="offset points", xytext=(5, -10))
    axis.set_xlabel("requests whose served list is truly worse, %")
    axis.set_ylabel("true share of the best list's gain")
    axis.set_title("by risk aversion", loc="left")
    return _save(figure, path)


def plot_ablations(results: Sequence[MetricResult], scenario: str, path: Path) -> bool:
    """Plot the value ratio of the single list with its interval, a row for each ablation."""
    part = select_results(
        results, scenario=scenario, experiment="ablations", seed=None, list_kind="single"
    )
    by_name = {n: select_results(part, method=n, metric="value_ratio") for n in ABLATIONS}
    measured = {name: rows[0] for name, rows in by_name.items() if rows}
    if not measured:
        return False
    figure, (axis,) = _panels(6.8, 0.28 * len(measured) + 0.9)
    y = np.arange(len(measured))[::-1]
    x = [row.value for row in measured.values()]
    axis.errorbar(
        x, y, xerr=_error_bars([*measured.values()]), fmt="o", color=RELIST_COLOR, capsize=2
    )
    axis.axvline(x[0], color="#aaaaaa", linewidth=0.8)
    axis.set_yticks(y, [*measured])
    axis.set_xlabel("value ratio of the single list")
    return _save(figure, path)


def plot_training_curves(
    curves: dict[str, list[dict[str, float]]], labels: dict[str, str], path: Path
) -> bool:
    """Plot epoch metrics: a panel for each metric, a line for each run; False without runs."""
    if not curves:
        return False
    figure, axes = _panels(3.6 * len(labels), 3.0, len(labels))
    colors = plt.get_cmap("viridis")(np.linspace(0.0, 0.85, len(curves)))
    for axis, (name, label) in zip(axes, labels.items(), strict=True):
        for (run, epochs), color in zip(curves.items(), colors, strict=True):
            with_metric = [epoch for epoch in epochs if name in epoch]
            x, y = [e["epoch"] for e in with_metric], [e[name] for e in with_metric]
            axis.plot(x, y, ".-", color=color, label=run)
        axis.set(xlabel="epoch", title=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].legend(frameon=False, fontsize=7)
    figure.tight_layout()
    return _save(figure, path)


def _error_bars(rows: Sequence[MetricResult | None]) -> np.ndarray:
    """(2, n) distances from the values to the ends of their intervals."""
    return np.array([_interval_distances(row) for row in rows]).T


def _interval_distances(row: MetricResult | None) -> tuple[float, float]:
    if row is None or row.ci_low is None or row.ci_high is None:
        return 0.0, 0.0
    return max(0.0, row.value - row.ci_low), max(0.0, row.ci_high - row.value)


def _has_metric(rows: Sequence[MetricResult], scenario: str, metric: str) -> bool:
    compared = select_results(
        rows, scenario=scenario, experiment="comparison", metric=metric, seed=None
    )
    return any(not np.isnan(row.value) for row in compared)


def _panels(width: float, height: float, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """A figure with one row of panels."""
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False)
    return figure, axes[0]


def _save(figure: Figure, path: Path) -> bool:
    with plt.rc_context(FIGURE_STYLE):
        figure.savefig(path)
    plt.close(figure)
    return True
