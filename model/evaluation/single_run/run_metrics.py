"""Metrics of one generator and evaluator on the test part, with 95 % intervals over users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
Statistic = Callable[[NDArray[np.intp]], float]  # rows -> value
SELECTED_LIST_KINDS = ("single", "served")
ACTUAL_REWARD_COLUMN = "actual_served"
METRIC_CUTOFFS = (6, 10)  # k of the label metrics


class Estimate(NamedTuple):
    """A value with the ends of its 95 % bootstrap interval over users."""

    value: float
    low: float
    high: float


MetricEstimates = dict[str, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """Amount of computation.

    Attributes:
        max_requests: limit of measured test requests.
        climb_restarts: hill climbs that search for the best list of a space that is too large to
            enumerate; 0 means no search.
    """

    max_requests: int = 1000
    climb_restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetrics:
    """Metrics with intervals, and reward deciles (empty if actual rewards are unknown)."""

    estimates: MetricEstimates
    deciles: list[Decile]


def evaluated_rows(tables: LogTables, options: EvaluationOptions) -> NDArray[np.intp]:
    """Measured rows of the test part; complete requests only if lists are enumerated."""
    return rows_with_full_lists(tables, tables.part_rows(TEST))[: options.max_requests]


def evaluate_run(
    generator: Checkpoint,
    evaluator: Checkpoint,
    tables: LogTables,
    log_dir: Path,
    options: EvaluationOptions,
) -> RunMetrics:
    """Measure the single and the served list of the first test requests.

    Args:
        generator: checkpoint of the generator.
        evaluator: checkpoint of the selecting evaluator.
        tables: tables of the log.
        log_dir: folder of the log; may contain a click world.
        options: amount of computation.
    """
    rows = evaluated_rows(tables, options)
    world = load_click_world(log_dir) if (log_dir / WORLD_NPZ).exists() else None
    parts: list[RequestMetrics] = []
    with tqdm(total=len(rows), desc="test requests", unit="request", disable=None) as bar:
        for served in serve_requests(generator, evaluator, tables, rows):
            parts.append(_columns(served, tables, world, options.climb_restarts))
            bar.update(len(served.rows))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    actual = columns.get(ACTUAL_REWARD_COLUMN)
    return RunMetrics(
        estimates=_summarize(columns, tables.user_index[rows]),
        deciles=[] if actual is None else reward_deciles(columns["reward_served"], actual),
    )


def _columns(
    served: ServedBatch, tables: LogTables, world: ClickWorld | None, restarts: int
) -> RequestMetrics:
    """Column name -> one number for each request of the batch."""
    out: RequestMetrics = {
        f"reward_{kind}": reward.numpy().astype(np.float64)
        for kind, reward in served.rewards.items()
    }
    inputs = served.lists["input"]
    for kind in SELECTED_LIST_KINDS:
        out[f"unchanged_{kind}"] = (served.lists[kind] == inputs).all(dim=-1).numpy().astype(float)
    out |= _list_space_columns(served, tables, restarts)
    actual = actual_rewards(
        tables, world, served.scorer.objective, served.rows, served.lists["served"].numpy()
    )
    if actual is not None:
        out[ACTUAL_REWARD_COLUMN] = actual
    if world is not None:
        out |= _true_value_columns(served, tables, world)
    if tables.candidate_clicks is not None:
        out |= _label_columns(served, tables)
    return out


def _label_columns(served: ServedBatch, tables: LogTables) -> RequestMetrics:
    """Label metrics of the lists, and their difference to the input list.

    The difference has its own interval, because both lists of a request share its difficulty.
    """
    out: RequestMetrics = {}
    for cut in sorted({min(cut, tables.slots) for cut in METRIC_CUTOFFS}):
        metrics = {
            kind: request_label_metrics(tables, served.rows, lists.numpy(), cut)
            for kind, lists in served.lists.items()
        }
        for name, input_values in metrics["input"].items():
            out[f"{name}_input"] = input_values
            for kind in SELECTED_LIST_KINDS:
                out[f"{name}_{kind}"] = metrics[kind][name]
                out[f"{name}_above_input_{kind}"] = metrics[kind][name] - input_values
    return out


def _list_space_columns(served: ServedBatch, tables: LogTables, restarts: int) -> RequestMetrics:
    """Best reward and hit flags of the lists; in a large space only the best reward found."""
    if not is_enumerable(tables.max_candidates, tables.slots):
        if not restarts:
            return {}
        best = best_climbed_reward(served.scorer, restarts)
        return {"reward_best": best.numpy().astype(np.float64)}
    space = all_list_rewards(served.scorer).numpy().astype(np.float64)
    out: RequestMetrics = {"reward_best": space.max(axis=1)}
    for kind in SELECTED_LIST_KINDS:
        hits = top_share_hits(space, served.lists[kind], tables.max_candidates)
        out |= {f"{name}_{kind}": hit.astype(float) for name, hit in hits.items()}
    return out


def _true_value_columns(
    served: ServedBatch, tables: LogTables, world: ClickWorld
) -> RequestMetrics:
    """Expected clicks of the lists, and of the best list if lists are enumerated."""
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
        statistics["overestimation_served"] = _overestimation_of(
            columns["reward_served"], columns[ACTUAL_REWARD_COLUMN]
        )
    for value_kind in ("reward", "true"):
        if f"{value_kind}_input" in columns:
            statistics |= _gain_statistics(columns, value_kind)
    rng = np.random.default_rng(0)
    rows = np.arange(len(users))
    return {
        name: Estimate(statistic(rows), *bootstrap_interval(statistic, users, rng))
        for name, statistic in statistics.items()
    }


def _gain_statistics(columns: RequestMetrics, value_kind: str) -> dict[str, Statistic]:
    """Values and gains of the lists by reward ("reward") or expected clicks ("true")."""
    out: dict[str, Statistic] = {}
    for kind in ("input", *SELECTED_LIST_KINDS, "best"):
        if f"{value_kind}_{kind}" in columns:
            out[f"{value_kind}_{kind}"] = _mean_of(columns[f"{value_kind}_{kind}"])
    for kind in SELECTED_LIST_KINDS:
        values, inputs = columns[f"{value_kind}_{kind}"], columns[f"{value_kind}_input"]
        out[f"{value_kind}_gain_{kind}"] = _mean_of(values - inputs)
        if f"{value_kind}_best" in columns:
            best = columns[f"{value_kind}_best"]
            ratio = "value_ratio" if value_kind == "reward" else "true_share"
            out[f"{ratio}_{kind}"] = _value_ratio_of(values, inputs, best)
        if value_kind == "true":
            out[f"truly_worse_{kind}"] = _mean_of(
                (values < inputs - TRUE_VALUE_TOLERANCE).astype(float)
            )
    return out


def _mean_of(values: NDArray[np.float64]) -> Statistic:
    return lambda rows: float(np.nanmean(values[rows]))


def _overestimation_of(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> Statistic:
    return lambda rows: float(predicted[rows].sum() / actual[rows].sum() - 1.0)


def _value_ratio_of(
    value: NDArray[np.float64], input_value: NDArray[np.float64], best: NDArray[np.float64]
) -> Statistic:
    return lambda rows: value_ratio(value[rows], input_value[rows], best[rows])
