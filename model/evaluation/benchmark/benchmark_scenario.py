"""What is compared on what: a log, its configuration, the methods and how much of each.

A problem is plain data: everything that a result depends on stands in it, so results can be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.baselines.registry import BASELINE_METHODS
from model.config.pipeline_config import PipelineConfig
from model.data.simulation.ground_truth import WORLD_NPZ
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST
from model.data.tables.table_cache import load_log_tables
from model.evaluation.list_space import is_enumerable, rows_with_full_lists
from model.nets.request_tensors import RequestTensors
from model.training.generator.training_lists import deduplicate_requests

RELIST_METHOD = "relist"
NLGR_METHOD = "nlgr"  # both nets as in the paper, beside each other
REQUEST_BATCH_SIZE = 50  # requests looked at together
LARGE_SPACE_METHODS = (
    "input_order", "pointwise", "prm", "nar4rec", "random", "hill_climbing", "beam_search",
)  # fmt: skip
CASCADE_METHODS = ("input_order", "pointwise", "prm", "pier", "hill_climbing", "exact")
SMALL_SPACE_METHODS = ("input_order", "pointwise", "prm", "random", "hill_climbing", "exact")

ExperimentName = Literal["holdout", "overestimation", "tau", "cru_loss", "ablations", "neighbors"]
EXPERIMENTS: tuple[ExperimentName, ...] = (
    "holdout", "overestimation", "tau", "cru_loss", "ablations", "neighbors",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One log and what is asked of it.

    name: short, in file names and rows.
    title: what the page calls it. note: what a reader must know of it.
    log: folder of the canonical log; fingerprint: of its files.
    config: of both nets; its seeds are replaced by `seeds`.
    published: of both nets as in the paper; `with_published_config` gives them as many edits and epochs.
    methods: names of the registry; ours and the published one come on top.
    requests: of the test part, at most.
    restarts: climbs that look for the best list where the space is too large to enumerate; 0: the
        best list is not looked for.
    finds_best_by_evaluator: whether the best list by the evaluator is looked for, too, and not only in truth.
    experiments: parts of the report that are made on this problem.
    ablation_epochs: of each generator that only an ablation needs; also of the one beside it.
    few_ablations: only the first four of them.
    """

    name: str
    title: str
    log: Path
    fingerprint: str
    config: PipelineConfig
    published_config: PipelineConfig
    note: str = ""
    seeds: tuple[int, ...] = (0,)
    methods: tuple[str, ...] = tuple(BASELINE_METHODS)
    max_requests: int = 1000
    climb_restarts: int = 16
    finds_best_by_evaluator: bool = True
    experiments: tuple[ExperimentName, ...] = field(default=())
    ablation_epochs: int = 3
    few_ablations: bool = False

    def config_with_seed(self, seed: int) -> PipelineConfig:
        """The configuration with one seed for everything that draws."""
        config = self.config
        return replace(
            config,
            train_evaluator=replace(config.train_evaluator, seed=seed),
            train_generator=replace(config.train_generator, seed=seed),
        )

    def with_published_config(self) -> Scenario:
        """The same problem for the nets of the paper, with as many epochs as ours.

        It begins at the input list and is not refined: it gets an edit for each slot, at least.

        In a large space their best list is not looked for: it takes 25 minutes of climbing.
        """
        ours, papers = self.config, self.published_config
        training = replace(
            papers.train_generator,
            epochs=ours.train_generator.epochs,
            min_steps=ours.train_generator.min_steps,
        )
        edits = max(papers.generator.edits, scenario_tables(self).slots)
        generator = replace(papers.generator, edits=edits)
        config = replace(
            papers, objective=ours.objective, train_generator=training, generator=generator
        )
        return replace(self, config=config, finds_best_by_evaluator=has_enumerable_lists(self))

    @property
    def is_simulated(self) -> bool:
        """Whether true values are known."""
        return (self.log / WORLD_NPZ).exists()


def scenario_tables(scenario: Scenario) -> LogTables:
    """The problem's tables; a process reads them once."""
    return _cached_tables(scenario.log)


@lru_cache(maxsize=4)
def _cached_tables(log: Path) -> LogTables:
    return load_log_tables(log)


def scenario_loader(scenario: Scenario) -> BatchLoader:
    """The problem's tables as tensors; a process copies them once."""
    return _cached_loader(scenario.log)


@lru_cache(maxsize=1)  # a copy of all tables: kept for the log that jobs are busy with
def _cached_loader(log: Path) -> BatchLoader:
    return BatchLoader(_cached_tables(log))


def has_enumerable_lists(scenario: Scenario) -> bool:
    """Whether all lists of a request are enumerated."""
    tables = scenario_tables(scenario)
    return is_enumerable(tables.max_candidates, tables.slots)


def benchmark_rows(scenario: Scenario, part: int = TEST) -> NDArray[np.intp]:
    """Requests that are measured: the first of a part, each candidate set once.

    Where spaces are enumerated only whole ones enter (`rows_with_full_lists`).
    """
    tables = scenario_tables(scenario)
    rows = rows_with_full_lists(tables, deduplicate_requests(tables, tables.part_rows(part)))
    return np.sort(rows)[: scenario.max_requests]


def request_batches(
    scenario: Scenario, max_requests: int | None = None
) -> Iterator[tuple[slice, RequestTensors]]:
    """The measured requests, or the first of them, in batches: which of them, and the inputs."""
    gatherer, rows = scenario_loader(scenario), benchmark_rows(scenario)[:max_requests]
    for at in range(0, len(rows), REQUEST_BATCH_SIZE):
        part = slice(at, at + REQUEST_BATCH_SIZE)
        yield part, gatherer.gather(rows[part]).request


def applicable_methods(tables: LogTables, names: Sequence[str]) -> tuple[str, ...]:
    """The methods that this log's spaces allow: `has_enumerable_lists` only where they can be enumerated."""
    small = is_enumerable(tables.max_candidates, tables.slots)
    return tuple(name for name in names if small or name != "exact")
