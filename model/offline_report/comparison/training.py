"""Jobs that train our own nets: evaluators and generators."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from model.checkpoint import read_checkpoint
from model.config import Config
from model.data.split import TEST, VALIDATION
from model.loop import EPOCHS, told
from model.offline_report.comparison.jobs import Job, Store
from model.offline_report.comparison.problems import OURS, Problem, tables_of
from model.offline_report.logged import evaluator_on_logged_lists
from model.train_evaluator import train_evaluator
from model.train_generator.training import fit_generator


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorJob:
    """An evaluator, and how it predicts later lists.

    users, lists: whose lists it learns from, and which (`EvaluatorTraining`).
    """

    problem: Problem
    seed: int
    users: str = "all"
    lists: str = "all"

    @property
    def title(self) -> str:
        """See `Job`."""
        some = "".join(f" {part}" for part in (self.users, self.lists) if part != "all")
        return f"{self.problem.name} evaluator {self.seed}{some}"

    def config(self) -> Config:
        """The run's configuration."""
        config = self.problem.seeded(self.seed)
        some = replace(config.train_evaluator, users=self.users, lists=self.lists)
        return replace(config, train_evaluator=some)

    def depends_on(self) -> str:
        """See `Job`."""
        config = self.config()
        return f"{self.problem.fingerprint} {told(config.evaluator)} {told(config.train_evaluator)}"

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return ()

    def run(self, store: Store) -> None:
        """See `Job`."""
        tables = tables_of(self.problem)
        train_evaluator(self.config(), self.problem.log, store.folder(self))
        made = read_checkpoint(store.folder(self))
        store.write_numbers(
            self,
            {
                "validation": evaluator_on_logged_lists(made, tables, VALIDATION),
                "test": evaluator_on_logged_lists(made, tables, TEST),
                "epochs": epochs_of(store, self),
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorJob:
    """A generator taught by an evaluator.

    variant: what progress and page call it.
    changes: of `[train_generator]`, (name, value) pairs.
    """

    evaluator: EvaluatorJob
    variant: str = OURS
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def problem(self) -> Problem:
        """Of the evaluator."""
        return self.evaluator.problem

    @property
    def seed(self) -> int:
        """Of the evaluator."""
        return self.evaluator.seed

    @property
    def title(self) -> str:
        """See `Job`."""
        whose = "" if self.evaluator.users == "all" else f" {self.evaluator.users}"
        return f"{self.problem.name} generator {self.variant} {self.seed}{whose}"

    def config(self) -> Config:
        """The run's configuration."""
        config = self.evaluator.config()
        training: Any = replace(config.train_generator, **dict(self.changes))
        return replace(config, train_generator=training)

    def depends_on(self) -> str:
        """See `Job`."""
        config = self.config()
        return " ".join(
            told(part)
            for part in (
                config.generator,
                config.train_generator,
                config.objective,
                config.serving,
            )
        )

    def needs(self) -> tuple[Job, ...]:
        """See `Job`."""
        return (self.evaluator,)

    def run(self, store: Store) -> None:
        """See `Job`."""
        taught = read_checkpoint(store.folder(self.evaluator))
        folder = store.folder(self)
        best = fit_generator(self.config(), tables_of(self.problem), taught, folder)
        store.write_numbers(self, {"best": best, "epochs": epochs_of(store, self)})


def epochs_of(store: Store, job: Job) -> list[dict[str, float]]:
    """What the training loop measured after each epoch."""
    lines = (store.folder(job) / EPOCHS).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
