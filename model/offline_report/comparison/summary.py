"""Columns of numbers a request -> measures with 95 % intervals over users and the seed spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.metrics import ratio_intervals
from model.offline_report.truth import WORSE_BY

Columns = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float64]
Parts = dict[str, tuple[Floats, Floats]]  # measure -> numerator and denominator, one a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One number of the report.

    seed: None where it is the mean over seeds; only then there is an interval.
    lists: which of the method's lists (`single`, `served8`, ..).
    spread: standard deviation over seeds, where there are several.
    """

    problem: str
    part: str
    method: str
    seed: int | None
    lists: str
    measure: str
    value: float
    low: float | None = None
    high: float | None = None
    spread: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measures_of(columns: Columns) -> dict[str, Parts]:
    """Kind of list -> measures, each as two numbers a request whose sums are divided."""
    kinds = [name.partition(".")[2] for name in columns if name.startswith("reward.")]
    return {kind: _of_kind(columns, kind) for kind in kinds if kind != "best"}


def rows_of(problem: str, part: str, method: str, by_seed: Mapping[int, Columns]) -> list[Row]:
    """All measures of a method: one row a seed and one for their mean."""
    seeds = sorted(by_seed)
    made = {seed: measures_of(by_seed[seed]) for seed in seeds}
    users = by_seed[seeds[0]]["user"]
    out: list[Row] = []
    for kind in made[seeds[0]]:
        for measure in made[seeds[0]][kind]:
            pairs = [made[seed][kind][measure] for seed in seeds]
            each, low, high = ratio_intervals(pairs, users)
            at: dict[str, Any] = {
                "problem": problem, "part": part, "method": method, "lists": kind,
                "measure": measure,
            }  # fmt: skip
            out += [Row(seed=s, value=v, **at) for s, v in zip(seeds, each, strict=True)]
            spread = float(np.std(each, ddof=1)) if len(seeds) > 1 else None
            mean = float(np.mean(each))
            out.append(Row(seed=None, value=mean, low=low, high=high, spread=spread, **at))
    return out


def _of_kind(columns: Columns, kind: str) -> Parts:
    ones = np.ones(len(columns["user"]))
    out: Parts = {"unchanged": (columns[f"same.{kind}"].astype(np.float64), ones)}
    changed = 1.0 - out["unchanged"][0]
    for name, label in (("reward", "value_ratio"), ("second", "second_ratio")):
        out |= _gains(columns, kind, name, label)
    if f"true.{kind}" in columns:
        out |= _gains(columns, kind, "true", "true_share")
        gain = columns[f"true.{kind}"] - columns["true.input"]
        out["true"] = (columns[f"true.{kind}"], ones)
        worse = (gain < -WORSE_BY).astype(np.float64)
        out["truly_worse"] = (worse, ones)
        out["true_gain_changed"] = (gain * changed, changed)
        out["truly_worse_changed"] = (worse * changed, changed)
    for name, values in columns.items():
        measure, _, own = name.partition(".")
        if own == kind and "@" in measure:
            known = ~np.isnan(values.astype(np.float64))
            out[measure] = (np.where(known, values, 0.0), known.astype(np.float64))
    return out


def _gains(columns: Columns, kind: str, name: str, share: str) -> Parts:
    """Mean gain over the input list, and its share of the best list's gain."""
    if f"{name}.{kind}" not in columns:
        return {}
    gain = columns[f"{name}.{kind}"] - columns[f"{name}.input"]
    out: Parts = {f"{name}_gain": (gain, np.ones(len(gain)))}
    if f"{name}.best" in columns:
        out[share] = (gain, columns[f"{name}.best"] - columns[f"{name}.input"])
    return out


def find(rows: Sequence[Row], **wanted: object) -> list[Row]:
    """Rows whose attributes are as wanted."""
    return [row for row in rows if all(getattr(row, k) == v for k, v in wanted.items())]
