"""All measures of one trained pair on the test part, with 95 % intervals over users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model.checkpoint import Checkpoint
from model.data.log_tables import LogTables
from model.data.split import TEST
from model.data.worlds import WORLD, ClickWorld, load_world
from model.metrics import bootstrap_interval, value_ratio
from model.offline_report.pair.promise import Tenth, kept_rewards, tenths
from model.offline_report.pair.served import Served, serve
from model.offline_report.space import (
    climbed_reward,
    hits,
    is_exact,
    measurable_rows,
    space_rewards,
)
from model.offline_report.truth import WORSE_BY, best_true_values, labelled_quality, true_values

Columns = dict[str, NDArray[np.float64]]
Statistic = Callable[[NDArray[np.intp]], float]
Measured = dict[str, tuple[float, float, float]]  # value, low, high
KINDS = ("single", "served")
KEPT = "kept_served"
CUTS = (6, 10)  # of a list, by labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How many test requests, and in spaces too large to enumerate how many climbs (0: none)."""

    requests: int = 1000
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMeasures:
    """What is measured, with intervals, and the promise by tenths (none where nobody can tell)."""

    measured: Measured
    promise: list[Tenth]


def measured_requests(tables: LogTables, effort: Effort) -> NDArray[np.intp]:
    """Rows of the test part that are measured: whole ones where spaces are enumerated."""
    return measurable_rows(tables, tables.rows_of(TEST))[: effort.requests]


def measure_pair(
    generator: Checkpoint, evaluator: Checkpoint, tables: LogTables, log_dir: Path, effort: Effort
) -> PairMeasures:
    """Measure the single and the served list on the first test requests."""
    rows = measured_requests(tables, effort)
    world = load_world(log_dir) if (log_dir / WORLD).exists() else None
    parts: list[Columns] = []
    with tqdm(total=len(rows), desc="test requests", unit="request", disable=None) as show:
        for served in serve(generator, evaluator, tables, rows):
            parts.append(_columns(served, tables, world, effort.restarts))
            show.update(len(served.rows))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    kept = columns.get(KEPT)
    return PairMeasures(
        measured=_summarize(columns, tables.user_place[rows]),
        promise=[] if kept is None else tenths(columns["reward_served"], kept),
    )


def _columns(served: Served, tables: LogTables, world: ClickWorld | None, restarts: int) -> Columns:
    """One number a request for everything that is measured."""
    out: Columns = {
        f"reward_{kind}": reward.numpy().astype(np.float64)
        for kind, reward in served.rewards.items()
    }
    given = served.lists["input"]
    for kind in KINDS:
        out[f"unchanged_{kind}"] = (served.lists[kind] == given).all(dim=-1).numpy().astype(float)
    out |= _in_space(served, tables, restarts)
    kept = kept_rewards(
        tables, world, served.scorer.objective, served.rows, served.lists["served"].numpy()
    )
    if kept is not None:
        out[KEPT] = kept
    if world is not None:
        out |= _true(served, tables, world)
    if tables.candidate_clicks is not None:
        out |= _labelled(served, tables)
    return out


def _labelled(served: Served, tables: LogTables) -> Columns:
    """Quality by the labels of all candidates, and by how much it is above the input list's.

    The difference has an interval of its own: requests that are hard are so for both lists.
    """
    out: Columns = {}
    for cut in sorted({min(cut, tables.slots) for cut in CUTS}):
        found = {
            kind: labelled_quality(tables, served.rows, lists.numpy(), cut)
            for kind, lists in served.lists.items()
        }
        for name, given in found["input"].items():
            out[f"{name}_input"] = given
            for kind in KINDS:
                out[f"{name}_{kind}"] = found[kind][name]
                out[f"{name}_above_input_{kind}"] = found[kind][name] - given
    return out


def _in_space(served: Served, tables: LogTables, restarts: int) -> Columns:
    """Where the lists stand among all lists; in large spaces only the best that climbing finds."""
    if not is_exact(tables.max_candidates, tables.slots):
        if not restarts:
            return {}
        best = climbed_reward(served.scorer, restarts)
        return {"reward_best": best.numpy().astype(np.float64)}
    space = space_rewards(served.scorer).numpy().astype(np.float64)
    out: Columns = {"reward_best": space.max(axis=1)}
    for kind in KINDS:
        found = hits(space, served.lists[kind], tables.max_candidates)
        out |= {f"{name}_{kind}": hit.astype(float) for name, hit in found.items()}
    return out


def _true(served: Served, tables: LogTables, world: ClickWorld) -> Columns:
    """Expected clicks of the lists, and of the best list where all can be enumerated."""
    out: Columns = {
        f"true_{kind}": true_values(world, tables, served.rows, lists.numpy())
        for kind, lists in served.lists.items()
    }
    if is_exact(tables.max_candidates, tables.slots):
        out["true_best"] = best_true_values(world, tables, served.rows)
    return out


def _summarize(columns: Columns, users: NDArray[np.int32]) -> Measured:
    statistics: dict[str, Statistic] = {
        name: _mean_of(values)
        for name, values in columns.items()
        if not name.startswith(("reward_", "true_", "kept_"))
    }
    if KEPT in columns:
        own = columns["reward_served"]
        statistics["optimism_served"] = _excess_of(own, columns[KEPT])
    for worth in ("reward", "true"):
        if f"{worth}_input" in columns:
            statistics |= _gains(columns, worth)
    rng = np.random.default_rng(0)
    every = np.arange(len(users))
    return {
        name: (statistic(every), *bootstrap_interval(statistic, users, rng))
        for name, statistic in statistics.items()
    }


def _gains(columns: Columns, worth: str) -> dict[str, Statistic]:
    """What the lists are worth, by the evaluator ("reward") or truly ("true")."""
    out: dict[str, Statistic] = {}
    for kind in ("input", *KINDS, "best"):
        if f"{worth}_{kind}" in columns:
            out[f"{worth}_{kind}"] = _mean_of(columns[f"{worth}_{kind}"])
    for kind in KINDS:
        own, given = columns[f"{worth}_{kind}"], columns[f"{worth}_input"]
        out[f"{worth}_gain_{kind}"] = _mean_of(own - given)
        if f"{worth}_best" in columns:
            best = columns[f"{worth}_best"]
            out[f"{worth}_share_of_best_gain_{kind}"] = _ratio_of(own, given, best)
        if worth == "true":
            out[f"true_worse_{kind}"] = _mean_of((own < given - WORSE_BY).astype(float))
    return out


def _mean_of(values: NDArray[np.float64]) -> Statistic:
    return lambda rows: float(np.nanmean(values[rows]))


def _excess_of(promised: NDArray[np.float64], kept: NDArray[np.float64]) -> Statistic:
    return lambda rows: float(promised[rows].sum() / kept[rows].sum() - 1.0)


def _ratio_of(
    own: NDArray[np.float64], given: NDArray[np.float64], best: NDArray[np.float64]
) -> Statistic:
    return lambda rows: value_ratio(own[rows], given[rows], best[rows])
