"""The report's pictures. Rows and kept results come in, PNG files go out."""

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
    """Value ratio, and true share where it is known, against milliseconds; False without either."""
    known = [m for m in ("value_ratio", "true_share") if _has_metric(results, scenario, m)]
    if not known:
        return False
    figure, axes = _panels(6.4 * len(known), 4.6, len(known))
    names = {"value_ratio": "value ratio (the evaluator's eyes)", "true_share": "true share"}
    for axis, measure in zip(axes, known, strict=True):
        for number, method in enumerate((*BASELINE_METHODS, NLGR_METHOD, RELIST_METHOD)):
            _plot_method(axis, results, (scenario, method, measure), MARKERS[number % len(MARKERS)])
        axis.set(xscale="log", xlabel="milliseconds a request, PyTorch, one thread")
        axis.set_ylabel(f"{names[measure]} of the served list")
        axis.axhline(0.0, color="#444444", linewidth=0.8)
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _save(figure, path)


def _plot_method(
    axis: Axes, rows: Sequence[MetricResult], what: tuple[str, str, str], marker: str
) -> None:
    problem, method, measure = what
    ms = {
        row.list_kind: row.value
        for row in select_results(rows, scenario=problem, experiment="times", method=method)
    }
    own = select_results(
        rows, scenario=problem, experiment="comparison", method=method, metric=measure, seed=None
    )
    at = [(ms[row.list_kind], row.value) for row in served_results(own) if row.list_kind in ms]
    if not at:
        return
    family = BASELINE_METHODS[method].family if method in BASELINE_METHODS else "generator"
    color = RELIST_COLOR if method == RELIST_METHOD else FAMILY_COLORS[family]
    axis.plot(
        [x for x, _ in at], [y for _, y in at], marker=marker, color=color, label=method,
        linewidth=2.4 if method == RELIST_METHOD else 1.0, markersize=6 if method == RELIST_METHOD else 4,
        zorder=5 if method == RELIST_METHOD else 2, alpha=1.0 if method == RELIST_METHOD else 0.85,
    )  # fmt: skip


def plot_holdout_evaluators(results: Sequence[MetricResult], scenario: str, path: Path) -> bool:
    """Own evaluator, an evaluator of other users, and the truth, side by side by method."""
    part = select_results(results, scenario=scenario, experiment="holdout", seed=None)
    methods = [
        m for m in (RELIST_METHOD, NLGR_METHOD, *BASELINE_METHODS) if select_results(part, method=m)
    ]
    measures = {"value_ratio": "selecting evaluator", "holdout_value_ratio": "holdout evaluator",
                "true_share": "truth"}  # fmt: skip
    if not methods:
        return False
    figure, (axis,) = _panels(9.5, 3.8)
    for number, (measure, label) in enumerate(measures.items()):
        found = select_results(part, metric=measure)
        held = [result_of_kind(select_results(found, method=m), "served") for m in methods]
        if any(row is not None for row in held):
            x = np.arange(len(methods)) + 0.27 * (number - 1)
            color = (FAMILY_COLORS["listwise"], FAMILY_COLORS["search"], RELIST_COLOR)[number]
            height = [row.value if row else 0.0 for row in held]
            axis.bar(x, height, 0.25, label=label, color=color, yerr=_error_bars(held), capsize=1.5)
    axis.set_xticks(np.arange(len(methods)), methods, rotation=40, ha="right")
    axis.set_ylabel("share of the best list's gain")
    axis.legend(frameon=False)
    return _save(figure, path)


def plot_neighbor_gains(input_gains: np.ndarray, single_gains: np.ndarray, path: Path) -> bool:
    """Distribution of the gains one edit away from the input list and from the generator's."""
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
    """True share against the share of truly worse lists, a point a lambda; False without truth."""
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
    x, y = [100.0 * found[0].value for found in worse], [found[0].value for found in share]
    wide, high = 100.0 * _error_bars([f[0] for f in worse]), _error_bars([f[0] for f in share])
    axis.errorbar(x, y, high, wide, fmt="o-", color=RELIST_COLOR, ecolor="#e0a0a4", capsize=2)
    for weight, at in zip(RISK_AVERSIONS, zip(x, y, strict=True), strict=True):
        axis.annotate(f"{weight:g}", at, textcoords="offset points", xytext=(5, -10))
    axis.set_xlabel("requests whose served list is truly worse, %")
    axis.set_ylabel("true share of the best list's gain")
    axis.set_title("by lambda", loc="left")
    return _save(figure, path)


def plot_ablations(results: Sequence[MetricResult], scenario: str, path: Path) -> bool:
    """Value ratio of the single list of every ablation with its interval."""
    part = select_results(
        results, scenario=scenario, experiment="ablations", seed=None, list_kind="single"
    )
    held = [(n, select_results(part, method=n, metric="value_ratio")) for n in ABLATIONS]
    held = [(name, found) for name, found in held if found]
    if not held:
        return False
    figure, (axis,) = _panels(6.8, 0.28 * len(held) + 0.9)
    y = np.arange(len(held))[::-1]
    rows_ = [found[0] for _, found in held]
    x = [row.value for row in rows_]
    axis.errorbar(x, y, xerr=_error_bars(rows_), fmt="o", color=RELIST_COLOR, capsize=2)
    axis.axvline(x[0], color="#aaaaaa", linewidth=0.8)
    axis.set_yticks(y, [name for name, _ in held])
    axis.set_xlabel("value ratio of the single list")
    return _save(figure, path)


def plot_training_curves(
    curves: dict[str, list[dict[str, float]]], labels: dict[str, str], path: Path
) -> bool:
    """What training measured after each epoch: a panel a name, a line a run; False without runs."""
    if not curves:
        return False
    figure, axes = _panels(3.6 * len(labels), 3.0, len(labels))
    colors = plt.get_cmap("viridis")(np.linspace(0.0, 0.85, len(curves)))
    for axis, (name, label) in zip(axes, labels.items(), strict=True):
        for (run, epochs), color in zip(curves.items(), colors, strict=True):
            held = [(e["epoch"], e[name]) for e in epochs if name in e]
            axis.plot([x for x, _ in held], [y for _, y in held], ".-", color=color, label=run)
        axis.set(xlabel="epoch", title=label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].legend(frameon=False, fontsize=7)
    figure.tight_layout()
    return _save(figure, path)


def _error_bars(rows: Sequence[MetricResult | None]) -> np.ndarray:
    """Distances to the interval's ends, (2, n)."""
    return np.array([_interval_distances(row) for row in rows]).T


def _interval_distances(row: MetricResult | None) -> tuple[float, float]:
    if row is None or row.ci_low is None or row.ci_high is None:
        return 0.0, 0.0
    return max(0.0, row.value - row.ci_low), max(0.0, row.ci_high - row.value)


def _has_metric(rows: Sequence[MetricResult], scenario: str, metric: str) -> bool:
    found = select_results(
        rows, scenario=scenario, experiment="comparison", metric=metric, seed=None
    )
    return any(not np.isnan(row.value) for row in found)


def _panels(width: float, height: float, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """A row of panels in the report's style."""
    with plt.rc_context(FIGURE_STYLE):
        figure, axes = plt.subplots(1, columns, figsize=(width, height), squeeze=False)
    return figure, axes[0]


def _save(figure: Figure, path: Path) -> bool:
    with plt.rc_context(FIGURE_STYLE):
        figure.savefig(path)
    plt.close(figure)
    return True
