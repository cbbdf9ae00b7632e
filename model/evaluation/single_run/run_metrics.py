"""All measures of one trained pair on the test part, with 95 % intervals over users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model.checkpoint import Checkpoint
from model.data.simulation.ground_truth import WORLD_NPZ, ClickWorld, load_click_world
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST
from model.evaluation.list_quality import (
    TRUE_VALUE_TOLERANCE,
    best_true_values,
    request_label_metrics,
    true_values,
)
from model.evaluation.list_space import (
    all_list_rewards,
    best_climbed_reward,
    is_enumerable,
    rows_with_full_lists,
    top_share_hits,
)
from model.evaluation.single_run.overestimation_deciles import (
    Decile,
    actual_rewards,
    reward_deciles,
)
from model.evaluation.single_run.served_lists import ServedBatch, serve_requests
from model.metrics import bootstrap_interval, value_ratio

RequestMetrics = dict[str, NDArray[np.float64]]
Statistic = Callable[[NDArray[np.intp]], float]
MetricEstimates = dict[str, tuple[float, float, float]]  # value, low, high
SELECTED_LIST_KINDS = ("single", "served")
ACTUAL_REWARD_COLUMN = "actual_served"
METRIC_CUTOFFS = (6, 10)  # of a list, by labels


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """How many test requests, and in spaces too large to enumerate how many climbs (0: none)."""

    max_requests: int = 1000
    climb_restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetrics:
    """What is measured, with intervals, and the promise by tenths (none where nobody can tell)."""

    estimates: MetricEstimates
    deciles: list[Decile]


def evaluated_rows(tables: LogTables, options: EvaluationOptions) -> NDArray[np.intp]:
    """Rows of the test part that are measured: whole ones where spaces are enumerated."""
    return rows_with_full_lists(tables, tables.part_rows(TEST))[: options.max_requests]


def evaluate_run(
    generator: Checkpoint,
    evaluator: Checkpoint,
    tables: LogTables,
    log_dir: Path,
    options: EvaluationOptions,
) -> RunMetrics:
    """Measure the single and the served list on the first test requests."""
    rows = evaluated_rows(tables, options)
    world = load_click_world(log_dir) if (log_dir / WORLD_NPZ).exists() else None
    parts: list[RequestMetrics] = []
    with tqdm(total=len(rows), desc="test requests", unit="request", disable=None) as show:
        for served in serve_requests(generator, evaluator, tables, rows):
            parts.append(_columns(served, tables, world, options.climb_restarts))
            show.update(len(served.rows))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    kept = columns.get(ACTUAL_REWARD_COLUMN)
    return RunMetrics(
        estimates=_summarize(columns, tables.user_index[rows]),
        deciles=[] if kept is None else reward_deciles(columns["reward_served"], kept),
    )


def _columns(
    served: ServedBatch, tables: LogTables, world: ClickWorld | None, restarts: int
) -> RequestMetrics:
    """One number a request for everything that is measured."""
    out: RequestMetrics = {
        f"reward_{kind}": reward.numpy().astype(np.float64)
        for kind, reward in served.rewards.items()
    }
    given = served.lists["input"]
    for kind in SELECTED_LIST_KINDS:
        out[f"unchanged_{kind}"] = (served.lists[kind] == given).all(dim=-1).numpy().astype(float)
    out |= _list_space_columns(served, tables, restarts)
    kept = actual_rewards(
        tables, world, served.scorer.objective, served.rows, served.lists["served"].numpy()
    )
    if kept is not None:
        out[ACTUAL_REWARD_COLUMN] = kept
    if world is not None:
        out |= _true_value_columns(served, tables, world)
    if tables.candidate_clicks is not None:
        out |= _label_columns(served, tables)
    return out


def _label_columns(served: ServedBatch, tables: LogTables) -> RequestMetrics:
    """Quality by the labels of all candidates, and by how much it is above the input list's.

    The difference has an interval of its own: requests that are hard are so for both lists.
    """
    out: RequestMetrics = {}
    for cut in sorted({min(cut, tables.slots) for cut in METRIC_CUTOFFS}):
        found = {
            kind: request_label_metrics(tables, served.rows, lists.numpy(), cut)
            for kind, lists in served.lists.items()
        }
        for name, given in found["input"].items():
            out[f"{name}_input"] = given
            for kind in SELECTED_LIST_KINDS:
                out[f"{name}_{kind}"] = found[kind][name]
                out[f"{name}_above_input_{kind}"] = found[kind][name] - given
    return out


def _list_space_columns(served: ServedBatch, tables: LogTables, restarts: int) -> RequestMetrics:
    """Where the lists stand among all lists; in large spaces only the best that climbing finds."""
    if not is_enumerable(tables.max_candidates, tables.slots):
        if not restarts:
            return {}
        best = best_climbed_reward(served.scorer, restarts)
        return {"reward_best": best.numpy().astype(np.float64)}
    space = all_list_rewards(served.scorer).numpy().astype(np.float64)
    out: RequestMetrics = {"reward_best": space.max(axis=1)}
    for kind in SELECTED_LIST_KINDS:
        found = top_share_hits(space, served.lists[kind], tables.max_candidates)
        out |= {f"{name}_{kind}": hit.astype(float) for name, hit in found.items()}
    return out


def _true_value_columns(
    served: ServedBatch, tables: LogTables, world: ClickWorld
) -> RequestMetrics:
    """Expected clicks of the lists, and of the best list where all can be enumerated."""
    out: RequestMetrics = {
        f"true_{kind}": true_values(world, tables, served.rows, lists.numpy())
        for kind, lists in served.lists.items()
    }
    if is_enumerable(tables.max_candidates, tables.slots):
        out["true_best"] = best_true_values(world, tables, served.rows)
    return out


def _summarize(columns: RequestMetrics, users: NDArray[np.int32]) -> MetricEstimates:
    statistics: dict[str, Statistic] = {
        name: _mean_of(values)
        for name, values in columns.items()
        if not name.startswith(("reward_", "true_", "actual_"))
    }
    if ACTUAL_REWARD_COLUMN in columns:
        own = columns["reward_served"]
        statistics["overestimation_served"] = _overestimation_of(own, columns[ACTUAL_REWARD_COLUMN])
    for worth in ("reward", "true"):
        if f"{worth}_input" in columns:
            statistics |= _gain_statistics(columns, worth)
    rng = np.random.default_rng(0)
    every = np.arange(len(users))
    return {
        name: (statistic(every), *bootstrap_interval(statistic, users, rng))
        for name, statistic in statistics.items()
    }


def _gain_statistics(columns: RequestMetrics, value_kind: str) -> dict[str, Statistic]:
    """What the lists are worth, by the evaluator ("reward") or truly ("true")."""
    out: dict[str, Statistic] = {}
    for kind in ("input", *SELECTED_LIST_KINDS, "best"):
        if f"{value_kind}_{kind}" in columns:
            out[f"{value_kind}_{kind}"] = _mean_of(columns[f"{value_kind}_{kind}"])
    for kind in SELECTED_LIST_KINDS:
        own, given = columns[f"{value_kind}_{kind}"], columns[f"{value_kind}_input"]
        out[f"{value_kind}_gain_{kind}"] = _mean_of(own - given)
        if f"{value_kind}_best" in columns:
            best = columns[f"{value_kind}_best"]
            out[f"{value_kind}_share_of_best_gain_{kind}"] = _value_ratio_of(own, given, best)
        if value_kind == "true":
            out[f"truly_worse_{kind}"] = _mean_of(
                (own < given - TRUE_VALUE_TOLERANCE).astype(float)
            )
    return out


def _mean_of(values: NDArray[np.float64]) -> Statistic:
    return lambda rows: float(np.nanmean(values[rows]))


def _overestimation_of(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> Statistic:
    return lambda rows: float(predicted[rows].sum() / actual[rows].sum() - 1.0)


def _value_ratio_of(
    own: NDArray[np.float64], input_value: NDArray[np.float64], best: NDArray[np.float64]
) -> Statistic:
    return lambda rows: value_ratio(own[rows], input_value[rows], best[rows])
