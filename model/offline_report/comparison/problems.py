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

from model.baselines.registry import METHODS
from model.config import Config
from model.data.batches import Gatherer
from model.data.log_tables import LogTables
from model.data.split import TEST
from model.data.tables import load_tables
from model.data.worlds import WORLD
from model.nets.inputs import RequestTensors
from model.offline_report.space import is_exact, measurable_rows
from model.train_generator.states import distinct_requests

OURS = "relist"
PUBLISHED = "nlgr"  # both nets as in the paper, beside each other
BATCH = 50  # requests looked at together
LARGE_SPACE_METHODS = (
    "input_order", "pointwise", "prm", "nar4rec", "random", "hill_climbing", "beam_search",
)  # fmt: skip
CASCADE_METHODS = ("input_order", "pointwise", "prm", "pier", "hill_climbing", "exact")
SMALL_SPACE_METHODS = ("input_order", "pointwise", "prm", "random", "hill_climbing", "exact")

Experiment = Literal["judges", "optimism", "tau", "cru_loss", "ablations", "neighbors"]
EXPERIMENTS: tuple[Experiment, ...] = (
    "judges", "optimism", "tau", "cru_loss", "ablations", "neighbors",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One log and what is asked of it.

    name: short, in file names and rows.
    title: what the page calls it. note: what a reader must know of it.
    log: folder of the canonical log; fingerprint: of its files.
    config: of both nets; its seeds are replaced by `seeds`.
    published: of both nets as in the paper; `as_published` gives them as many edits and epochs.
    methods: names of the registry; ours and the published one come on top.
    requests: of the test part, at most.
    restarts: climbs that look for the best list where the space is too large to enumerate; 0: the
        best list is not looked for.
    best_by_judge: whether the best list by the evaluator is looked for, too, and not only in truth.
    experiments: parts of the report that are made on this problem.
    ablation_epochs: of each generator that only an ablation needs; also of the one beside it.
    few_ablations: only the first four of them.
    """

    name: str
    title: str
    log: Path
    fingerprint: str
    config: Config
    published: Config
    note: str = ""
    seeds: tuple[int, ...] = (0,)
    methods: tuple[str, ...] = tuple(METHODS)
    requests: int = 1000
    restarts: int = 16
    best_by_judge: bool = True
    experiments: tuple[Experiment, ...] = field(default=())
    ablation_epochs: int = 3
    few_ablations: bool = False

    def seeded(self, seed: int) -> Config:
        """The configuration with one seed for everything that draws."""
        config = self.config
        return replace(
            config,
            train_evaluator=replace(config.train_evaluator, seed=seed),
            train_generator=replace(config.train_generator, seed=seed),
        )

    def as_published(self) -> Problem:
        """The same problem for the nets of the paper, with as many epochs as ours.

        It begins at the input list and is not refined: it gets an edit for each slot, at least.

        In a large space their best list is not looked for: it takes 25 minutes of climbing.
        """
        ours, papers = self.config, self.published
        training = replace(
            papers.train_generator,
            epochs=ours.train_generator.epochs,
            least_steps=ours.train_generator.least_steps,
        )
        edits = max(papers.generator.edits, tables_of(self).slots)
        generator = replace(papers.generator, edits=edits)
        config = replace(
            papers, objective=ours.objective, train_generator=training, generator=generator
        )
        return replace(self, config=config, best_by_judge=exact(self))

    @property
    def simulated(self) -> bool:
        """Whether true values are known."""
        return (self.log / WORLD).exists()


def tables_of(problem: Problem) -> LogTables:
    """The problem's tables; a process reads them once."""
    return _tables(problem.log)


@lru_cache(maxsize=4)
def _tables(log: Path) -> LogTables:
    return load_tables(log)


def gatherer_of(problem: Problem) -> Gatherer:
    """The problem's tables as tensors; a process copies them once."""
    return _gatherer(problem.log)


@lru_cache(maxsize=1)  # a copy of all tables: kept for the log that jobs are busy with
def _gatherer(log: Path) -> Gatherer:
    return Gatherer(_tables(log))


def exact(problem: Problem) -> bool:
    """Whether all lists of a request are enumerated."""
    tables = tables_of(problem)
    return is_exact(tables.max_candidates, tables.slots)


def measured_rows(problem: Problem, part: int = TEST) -> NDArray[np.intp]:
    """Requests that are measured: the first of a part, each candidate set once.

    Where spaces are enumerated only whole ones enter (`measurable_rows`).
    """
    tables = tables_of(problem)
    rows = measurable_rows(tables, distinct_requests(tables, tables.rows_of(part)))
    return np.sort(rows)[: problem.requests]


def request_batches(
    problem: Problem, at_most: int | None = None
) -> Iterator[tuple[slice, RequestTensors]]:
    """The measured requests, or the first of them, in batches: which of them, and the inputs."""
    gatherer, rows = gatherer_of(problem), measured_rows(problem)[:at_most]
    for at in range(0, len(rows), BATCH):
        part = slice(at, at + BATCH)
        yield part, gatherer.gather(rows[part]).request


def methods_for(tables: LogTables, asked: Sequence[str]) -> tuple[str, ...]:
    """The methods that this log's spaces allow: `exact` only where they can be enumerated."""
    small = is_exact(tables.max_candidates, tables.slots)
    return tuple(name for name in asked if small or name != "exact")
