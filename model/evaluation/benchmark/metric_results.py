"""Aggregates per-request columns to metrics with 95 % intervals and deviations over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.evaluation.list_quality import TRUE_VALUE_TOLERANCE
from model.metrics import mean_ratio_interval

MetricColumns = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
RatioTerms = dict[str, tuple[Floats, Floats]]  # metric -> numerator and denominator, (R,) each


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """One number of the benchmark.

    Attributes:
        scenario: name of the scenario.
        experiment: part of the page, for example `comparison`.
        method: name of the method or variant.
        seed: None for the mean over seeds.
        list_kind: `single`, `served8`, ...
        metric: name of the metric.
        value: the number.
        ci_low, ci_high: 95 % bootstrap interval over users; None for a single seed.
        seed_std: standard deviation over seeds; None for fewer than two seeds.
    """

    scenario: str
    experiment: str
    method: str
    seed: int | None
    list_kind: str
    metric: str
    value: float
    ci_low: float | None = None
    ci_high: float | None = None
    seed_std: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


def ratio_terms(columns: MetricColumns) -> dict[str, RatioTerms]:
    """List kind -> metrics, each a ratio of two sums over requests."""
    kinds = [name.partition(".")[2] for name in columns if name.startswith("reward.")]
    return {kind: _terms_of_kind(columns, kind) for kind in kinds if kind != "best"}


def summarize_method(
    scenario: str, experiment: str, method: str, columns_by_seed: Mapping[int, MetricColumns]
) -> list[MetricResult]:
    """All metrics of a method: one row for each seed and one for the mean over seeds."""
    seeds = sorted(columns_by_seed)
    terms = {seed: ratio_terms(columns_by_seed[seed]) for seed in seeds}
    users = columns_by_seed[seeds[0]]["user"]
    out: list[MetricResult] = []
    for kind in terms[seeds[0]]:
        for metric in terms[seeds[0]][kind]:
            pairs = [terms[seed][kind][metric] for seed in seeds]
            each, low, high = mean_ratio_interval(pairs, users)
            key: dict[str, Any] = {
                "scenario": scenario, "experiment": experiment, "method": method, "list_kind": kind,
                "metric": metric,
            }  # fmt: skip
            out += [MetricResult(seed=s, value=v, **key) for s, v in zip(seeds, each, strict=True)]
            spread = float(np.std(each, ddof=1)) if len(seeds) > 1 else None
            mean = float(np.mean(each))
            out.append(
                MetricResult(
                    seed=None, value=mean, ci_low=low, ci_high=high, seed_std=spread, **key
                )
            )
    return out


def _terms_of_kind(columns: MetricColumns, kind: str) -> RatioTerms:
    ones = np.ones(len(columns["user"]))
    out: RatioTerms = {"unchanged": (columns[f"unchanged.{kind}"].astype(np.float64), ones)}
    changed = 1.0 - out["unchanged"][0]
    for name, label in (("reward", "value_ratio"), ("holdout", "holdout_value_ratio")):
        out |= _gain_terms(columns, kind, name, label)
    if f"true.{kind}" in columns:
        out |= _gain_terms(columns, kind, "true", "true_share")
        gain = columns[f"true.{kind}"] - columns["true.input"]
        out["true"] = (columns[f"true.{kind}"], ones)
        worse = (gain < -TRUE_VALUE_TOLERANCE).astype(np.float64)
        out["truly_worse"] = (worse, ones)
        out["true_gain_changed"] = (gain * changed, changed)
        out["truly_worse_changed"] = (worse * changed, changed)
    for name, values in columns.items():
        metric, _, column_kind = name.partition(".")
        if column_kind == kind and "@" in metric:
            known = ~np.isnan(values.astype(np.float64))
            out[metric] = (np.where(known, values, 0.0), known.astype(np.float64))
    return out


def _gain_terms(columns: MetricColumns, kind: str, name: str, share: str) -> RatioTerms:
    """Terms of the mean gain over the input list, and of its share of the best list's gain."""
    if f"{name}.{kind}" not in columns:
        return {}
    gain = columns[f"{name}.{kind}"] - columns[f"{name}.input"]
    out: RatioTerms = {f"{name}_gain": (gain, np.ones(len(gain)))}
    if f"{name}.best" in columns:
        out[share] = (gain, columns[f"{name}.best"] - columns[f"{name}.input"])
    return out


def select_results(results: Sequence[MetricResult], **wanted: object) -> list[MetricResult]:
    """Rows whose attributes equal the wanted values."""
    return [row for row in results if all(getattr(row, k) == v for k, v in wanted.items())]
