"""Scenario of a benchmark: log, configuration, methods and amount of computation.

A scenario is plain data and contains everything that a result depends on, so results are cached.
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
NLGR_METHOD = "nlgr"  # evaluator and generator of the paper
REQUEST_BATCH_SIZE = 50  # requests scored in one batch
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
    """One log with the configuration of a benchmark on it.

    Attributes:
        name: short name in file names and result rows.
        title: heading on the page.
        log: folder of the canonical log.
        fingerprint: hash of the files of the log.
        config: configuration of Relist; `seeds` replace its seeds.
        published_config: configuration of the published networks, see `with_published_config`.
        note: caveat printed on the page.
        seeds: training seeds.
        methods: names of baselines; Relist and the published method are always added.
        max_requests: limit of measured test requests.
        climb_restarts: hill climbs that search for the best list of a space that is too large to
            enumerate; 0 means no search.
        finds_best_by_evaluator: whether the best list by the evaluator is searched, in addition to
            the best list by true value.
        experiments: additional parts of the page.
        ablation_epochs: epochs of each generator variant.
        few_ablations: whether only the first four ablations run.
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
        """The configuration with this seed for evaluator and generator training."""
        config = self.config
        return replace(
            config,
            train_evaluator=replace(config.train_evaluator, seed=seed),
            train_generator=replace(config.train_generator, seed=seed),
        )

    def with_published_config(self) -> Scenario:
        """The scenario of the published networks, with the epochs of the Relist generator.

        Their lists start from the input list and are not refined, so they get at least one edit
        for each slot. In a large space their best list is not searched, because it is too slow.
        """
        relist, published = self.config, self.published_config
        training = replace(
            published.train_generator,
            epochs=relist.train_generator.epochs,
            min_steps=relist.train_generator.min_steps,
        )
        edits = max(published.generator.edits, scenario_tables(self).slots)
        generator = replace(published.generator, edits=edits)
        config = replace(
            published, objective=relist.objective, train_generator=training, generator=generator
        )
        return replace(self, config=config, finds_best_by_evaluator=has_enumerable_lists(self))

    @property
    def is_simulated(self) -> bool:
        """Whether the log has a click world with true values."""
        return (self.log / WORLD_NPZ).exists()


def scenario_tables(scenario: Scenario) -> LogTables:
    """Tables of the log, cached in the process."""
    return _cached_tables(scenario.log)


@lru_cache(maxsize=4)
def _cached_tables(log: Path) -> LogTables:
    return load_log_tables(log)


def scenario_loader(scenario: Scenario) -> BatchLoader:
    """Batch loader of the log, cached in the process."""
    return _cached_loader(scenario.log)


@lru_cache(maxsize=1)  # a copy of all tables: only the latest log
def _cached_loader(log: Path) -> BatchLoader:
    return BatchLoader(_cached_tables(log))


def has_enumerable_lists(scenario: Scenario) -> bool:
    """Whether the list space of a request is small enough to enumerate."""
    tables = scenario_tables(scenario)
    return is_enumerable(tables.max_candidates, tables.slots)


def benchmark_rows(scenario: Scenario, part: int = TEST) -> NDArray[np.intp]:
    """Table rows of the measured requests: the first ones of a part, without duplicates.

    An enumerable list space uses only complete requests, see `rows_with_full_lists`.
    """
    tables = scenario_tables(scenario)
    rows = rows_with_full_lists(tables, deduplicate_requests(tables, tables.part_rows(part)))
    return np.sort(rows)[: scenario.max_requests]


def request_batches(
    scenario: Scenario, max_requests: int | None = None
) -> Iterator[tuple[slice, RequestTensors]]:
    """Yield batches of the measured requests: slice of the rows, and request tensors."""
    loader, rows = scenario_loader(scenario), benchmark_rows(scenario)[:max_requests]
    for start in range(0, len(rows), REQUEST_BATCH_SIZE):
        part = slice(start, start + REQUEST_BATCH_SIZE)
        yield part, loader.gather(rows[part]).request


def applicable_methods(tables: LogTables, names: Sequence[str]) -> tuple[str, ...]:
    """The names without `exact` if the list space is too large to enumerate."""
    small = is_enumerable(tables.max_candidates, tables.slots)
    return tuple(name for name in names if small or name != "exact")
