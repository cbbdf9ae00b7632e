"""Jobs that train Relist evaluators and generators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model.checkpoint import read_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.contract.text_files import split_lines
from model.data.tables.split import TEST, VALIDATION
from model.evaluation.benchmark.benchmark_scenario import RELIST_METHOD, Scenario, scenario_tables
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache
from model.evaluation.logged_lists import evaluate_on_logged_lists
from model.training.evaluator import train_evaluator
from model.training.generator.generator_fit import fit_generator
from model.training.trainer import EPOCH_LOG_FILE, settings_text


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorJob:
    """Trains an evaluator and measures its predictions on later lists.

    `user_subset` and `list_subset` select training lists, see `EvaluatorTrainingConfig`.
    """

    scenario: Scenario
    seed: int
    user_subset: str = "all"
    list_subset: str = "all"

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        subsets = [name for name in (self.user_subset, self.list_subset) if name != "all"]
        return " ".join([f"{self.scenario.name} evaluator {self.seed}", *subsets])

    def config(self) -> PipelineConfig:
        """Configuration of the training run."""
        config = self.scenario.config_with_seed(self.seed)
        training = replace(config.train_evaluator, users=self.user_subset, lists=self.list_subset)
        return replace(config, train_evaluator=training)

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        config = self.config()
        settings = f"{settings_text(config.evaluator)} {settings_text(config.train_evaluator)}"
        return f"{self.scenario.fingerprint} {settings}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return ()

    def run(self, cache: JobCache) -> None:
        """See `BenchmarkJob`."""
        tables = scenario_tables(self.scenario)
        train_evaluator(self.config(), self.scenario.log, cache.job_dir(self))
        checkpoint = read_checkpoint(cache.job_dir(self))
        cache.write_values(
            self,
            {
                "validation": evaluate_on_logged_lists(checkpoint, tables, VALIDATION),
                "test": evaluate_on_logged_lists(checkpoint, tables, TEST),
                "epochs": read_epoch_metrics(cache, self),
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorJob:
    """Trains a generator with the rewards of an evaluator.

    Attributes:
        evaluator: trained evaluator.
        variant: name in progress messages and on the page.
        overrides: values that replace settings of `[train_generator]`.
    """

    evaluator: EvaluatorJob
    variant: str = RELIST_METHOD
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scenario(self) -> Scenario:
        """Scenario of the evaluator."""
        return self.evaluator.scenario

    @property
    def seed(self) -> int:
        """Seed of the evaluator."""
        return self.evaluator.seed

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        subset = "" if self.evaluator.user_subset == "all" else f" {self.evaluator.user_subset}"
        return f"{self.scenario.name} generator {self.variant} {self.seed}{subset}"

    def config(self) -> PipelineConfig:
        """Configuration of the training run."""
        config = self.evaluator.config()
        training: Any = replace(config.train_generator, **self.overrides)
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

    @property
    def method(self) -> str:
        """Name in result rows: the variant."""
        return self.variant

    def refinement_rounds(self) -> int:
        """Refinement rounds that served lists of this generator get."""
        return self.config().refine_rounds

    def run(self, cache: JobCache) -> None:
        """See `BenchmarkJob`."""
        evaluator = read_checkpoint(cache.job_dir(self.evaluator))
        folder = cache.job_dir(self)
        best = fit_generator(self.config(), scenario_tables(self.scenario), evaluator, folder)
        cache.write_values(self, {"best": best, "epochs": read_epoch_metrics(cache, self)})


def read_epoch_metrics(cache: JobCache, job: BenchmarkJob) -> list[dict[str, float]]:
    """Metrics of the training loop, one dictionary for each epoch."""
    lines = split_lines((cache.job_dir(job) / EPOCH_LOG_FILE).read_text(encoding="utf-8"))
    return [json.loads(line) for line in lines]
