"""Jobs that train our own nets: evaluators and generators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from model.checkpoint import read_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.tables.split import TEST, VALIDATION
from model.evaluation.benchmark.benchmark_scenario import RELIST_METHOD, Scenario, scenario_tables
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache
from model.evaluation.logged_lists import evaluate_on_logged_lists
from model.training.evaluator import train_evaluator
from model.training.generator.generator_fit import fit_generator
from model.training.trainer import read_epoch_log, settings_text


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorJob:
    """An evaluator, and how it predicts later lists.

    users, lists: whose lists it learns from, and which (`EvaluatorTrainingConfig`).
    """

    scenario: Scenario
    seed: int
    user_subset: str = "all"
    list_subset: str = "all"

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        some = "".join(f" {part}" for part in (self.user_subset, self.list_subset) if part != "all")
        return f"{self.scenario.name} evaluator {self.seed}{some}"

    def config(self) -> PipelineConfig:
        """The run's configuration."""
        config = self.scenario.config_with_seed(self.seed)
        subsets: Any = {"users": self.user_subset, "lists": self.list_subset}
        some = replace(config.train_evaluator, **subsets)
        return replace(config, train_evaluator=some)

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        config = self.config()
        return f"{self.scenario.fingerprint} {settings_text(config.evaluator)} {settings_text(config.train_evaluator)}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return ()

    def run(self, cache: JobCache) -> None:
        """See `BenchmarkJob`."""
        tables = scenario_tables(self.scenario)
        train_evaluator(self.config(), self.scenario.log, cache.job_dir(self), restart=True)
        made = read_checkpoint(cache.job_dir(self))
        cache.write_values(
            self,
            {
                "validation": evaluate_on_logged_lists(made, tables, VALIDATION),
                "test": evaluate_on_logged_lists(made, tables, TEST),
                "epochs": read_epoch_metrics(cache, self),
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorJob:
    """A generator taught by an evaluator.

    variant: what progress and page call it.
    changes: of `[train_generator]`, (name, value) pairs.
    """

    evaluator: EvaluatorJob
    variant: str = RELIST_METHOD
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def scenario(self) -> Scenario:
        """Of the evaluator."""
        return self.evaluator.scenario

    @property
    def seed(self) -> int:
        """Of the evaluator."""
        return self.evaluator.seed

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        whose = "" if self.evaluator.user_subset == "all" else f" {self.evaluator.user_subset}"
        return f"{self.scenario.name} generator {self.variant} {self.seed}{whose}"

    def config(self) -> PipelineConfig:
        """The run's configuration."""
        config = self.evaluator.config()
        training: Any = replace(config.train_generator, **dict(self.overrides))
        return replace(config, train_generator=training)

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        config = self.config()
        return " ".join(
            settings_text(part)
            for part in (
                config.generator,
                config.train_generator,
                config.objective,
                config.serving,
            )
        )

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.evaluator,)

    def run(self, cache: JobCache) -> None:
        """See `BenchmarkJob`."""
        taught = read_checkpoint(cache.job_dir(self.evaluator))
        folder = cache.job_dir(self)
        tables = scenario_tables(self.scenario)
        best = fit_generator(self.config(), tables, taught, folder, restart=True)
        cache.write_values(self, {"best": best, "epochs": read_epoch_metrics(cache, self)})


def read_epoch_metrics(cache: JobCache, job: BenchmarkJob) -> list[dict[str, float]]:
    """What the training loop measured after each epoch."""
    return read_epoch_log(cache.job_dir(job))
