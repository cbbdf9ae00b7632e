"""Columns of numbers a request -> measures with 95 % intervals over users and the seed spread."""

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
RatioTerms = dict[str, tuple[Floats, Floats]]  # measure -> numerator and denominator, one a request


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """One number of the report.

    seed: None where it is the mean over seeds; only then there is an interval.
    lists: which of the method's lists (`as_single_array`, `served8`, ..).
    spread: standard deviation over seeds, where there are several.
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
        """Plain values."""
        return asdict(self)


def ratio_terms(columns: MetricColumns) -> dict[str, RatioTerms]:
    """Kind of list -> measures, each as two numbers a request whose sums are divided."""
    kinds = [name.partition(".")[2] for name in columns if name.startswith("reward.")]
    return {kind: _terms_of_kind(columns, kind) for kind in kinds if kind != "best"}


def summarize_method(
    scenario: str, experiment: str, method: str, columns_by_seed: Mapping[int, MetricColumns]
) -> list[MetricResult]:
    """All measures of a method: one row a seed and one for their mean."""
    seeds = sorted(columns_by_seed)
    made = {seed: ratio_terms(columns_by_seed[seed]) for seed in seeds}
    users = columns_by_seed[seeds[0]]["user"]
    out: list[MetricResult] = []
    for kind in made[seeds[0]]:
        for measure in made[seeds[0]][kind]:
            pairs = [made[seed][kind][measure] for seed in seeds]
            each, low, high = mean_ratio_interval(pairs, users)
            at: dict[str, Any] = {
                "scenario": scenario, "experiment": experiment, "method": method, "list_kind": kind,
                "metric": measure,
            }  # fmt: skip
            out += [MetricResult(seed=s, value=v, **at) for s, v in zip(seeds, each, strict=True)]
            spread = float(np.std(each, ddof=1)) if len(seeds) > 1 else None
            mean = float(np.mean(each))
            out.append(
                MetricResult(seed=None, value=mean, ci_low=low, ci_high=high, seed_std=spread, **at)
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
        measure, _, own = name.partition(".")
        if own == kind and "@" in measure:
            known = ~np.isnan(values.astype(np.float64))
            out[measure] = (np.where(known, values, 0.0), known.astype(np.float64))
    return out


def _gain_terms(columns: MetricColumns, kind: str, name: str, share: str) -> RatioTerms:
    """Mean gain over the input list, and its share of the best list's gain."""
    if f"{name}.{kind}" not in columns:
        return {}
    gain = columns[f"{name}.{kind}"] - columns[f"{name}.input"]
    out: RatioTerms = {f"{name}_gain": (gain, np.ones(len(gain)))}
    if f"{name}.best" in columns:
        out[share] = (gain, columns[f"{name}.best"] - columns[f"{name}.input"])
    return out


def select_results(results: Sequence[MetricResult], **wanted: object) -> list[MetricResult]:
    """Rows whose attributes are as wanted."""
    return [row for row in results if all(getattr(row, k) == v for k, v in wanted.items())]
