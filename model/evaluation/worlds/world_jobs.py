"""Jobs of the worlds benchmark: the log, its reference lists, baselines, and one configuration."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.baselines.registry import BASELINE_METHODS, BaselineInputs
from model.checkpoint import read_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.simulation.ground_truth import ClickWorld, load_click_world
from model.data.simulation.response_models.response_registry import response_parameters
from model.data.simulation.simulated_log import write_click_world_log
from model.data.simulation.world_family import FamilyWorld
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST
from model.data.tables.table_cache import load_log_tables
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache
from model.evaluation.list_quality import true_values
from model.evaluation.list_space import rows_with_full_lists
from model.evaluation.worlds.in_list_trees import in_list_tree_lists
from model.evaluation.worlds.pipeline_lists import LISTS, PROMISED, measure_pipeline_lists
from model.evaluation.worlds.reference_lists import measure_reference_lists
from model.evaluation.worlds.world_rows import (
    ListMeasures,
    TrueValues,
    list_measures,
    logged_ndcg,
    promise_measures,
)
from model.training.evaluator import train_evaluator
from model.training.generator.generator_fit import fit_generator
from model.training.trainer import settings_text

WORLD_LOG_FORMAT = 1  # raise when the same settings give another log
WORLD_ROW_FORMAT = 1  # raise when the same lists give another row
IN_LIST_TREES = "in_list_trees"
OPTIONAL_BASELINES = ("prm", "pier")
_BASELINE_BATCH = 64  # requests


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldLogJob:
    """Writes the simulated log of a world and prepares its tables."""

    world: FamilyWorld
    wheel: Path

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.label} log"

    @property
    def label(self) -> str:
        """Name and size of the world, in the titles of its jobs."""
        return f"{self.world.name} {self.world.config.lists}"

    def cache_key(self) -> str:
        """See `BenchmarkJob`: all settings, with the defaults of the response model."""
        config = self.world.config
        settings = asdict(config) | {"parameters": response_parameters(config.response_model())}
        return f"{WORLD_LOG_FORMAT} {json.dumps(settings, sort_keys=True)}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return ()

    def run(self, cache: JobCache) -> None:
        """See `BenchmarkJob`."""
        write_click_world_log(self.wheel, self.log_dir(cache), self.world.config)
        load_log_tables(self.log_dir(cache))

    def log_dir(self, cache: JobCache) -> Path:
        """Folder of the log."""
        return cache.job_dir(self) / "log"

    def open(self, cache: JobCache, requests: int) -> MeasuredLog:
        """The finished log with its first so many test requests."""
        folder = self.log_dir(cache)
        tables = load_log_tables(folder)
        rows = rows_with_full_lists(tables, tables.part_rows(TEST))[:requests]
        return MeasuredLog(folder=folder, tables=tables, world=load_click_world(folder), rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLog:
    """A log, its world and the measured rows (R,) of the test part."""

    folder: Path
    tables: LogTables
    world: ClickWorld
    rows: NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceJob:
    """True values of input list, taste order and best list of the measured requests."""

    log: WorldLogJob
    requests: int

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.log.label} truth"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.requests}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.log,)

    def run(self, cache: JobCache) -> None:
        """Write true values, the lists of the taste order, users, shown lists and clicks."""
        log = self.log.open(cache, self.requests)
        lists = measure_reference_lists(log.world, log.tables, log.rows)
        cache.write_arrays(
            self,
            {
                "true_input": lists.input,
                "true_best": lists.best,
                "true_taste": lists.taste,
                "lists_taste": lists.taste_lists,
                "user": log.tables.user_index[log.rows],
                "shown": log.tables.shown[log.rows],
                "clicks": log.tables.clicks[log.rows],
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldBaselineJob:
    """Trains a baseline of a world and writes its lists; it depends on no evaluator."""

    log: WorldLogJob
    requests: int
    method: str
    seed: int
    config: PipelineConfig

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.log.label} {self.method} {self.seed}"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        settings = "" if self.method == IN_LIST_TREES else settings_text(self._config())
        return f"{self.requests} {self.method} {self.seed} {settings}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.log,)

    def run(self, cache: JobCache) -> None:
        """Write `lists` (R, M)."""
        log = self.log.open(cache, self.requests)
        if self.method == IN_LIST_TREES:
            lists = in_list_tree_lists(log.tables, log.folder, log.rows, self.seed)
        else:
            lists = self._ranker_lists(log, cache.job_dir(self))
        cache.write_arrays(self, {"lists": lists})

    def _config(self) -> PipelineConfig:
        training = replace(self.config.train_evaluator, seed=self.seed)
        return replace(PipelineConfig(), train_evaluator=training)

    def _ranker_lists(self, log: MeasuredLog, folder: Path) -> NDArray[Any]:
        ranker = BASELINE_METHODS[self.method].build(
            BaselineInputs(
                tables=log.tables,
                config=self._config(),
                evaluator=None,
                evaluator_id="",
                folder=folder,
            )
        )
        loader, rng, parts = BatchLoader(log.tables), torch.Generator().manual_seed(0), []
        for first in range(0, len(log.rows), _BASELINE_BATCH):
            request = loader.gather(log.rows[first : first + _BASELINE_BATCH]).request
            parts.append(ranker.propose(request, 1, rng)[:, 0].numpy())
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineJob:
    """Trains both nets of a configuration in a world and writes what they would serve.

    An interrupted training goes on where it stopped.
    """

    log: WorldLogJob
    requests: int
    name: str
    config: PipelineConfig
    seed: int

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.log.label} {self.name} {self.seed}"

    def cache_key(self) -> str:
        """See `BenchmarkJob`: name and settings, not the code; other code needs another name."""
        return f"{self.requests} {self.name} {settings_text(self._config())}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.log,)

    def run(self, cache: JobCache) -> None:
        """Write lists and promised rewards of the measured requests, and the seconds spent."""
        log, folder, config = (
            self.log.open(cache, self.requests),
            cache.job_dir(self),
            self._config(),
        )
        marks = [_cpu_seconds()]
        started = time.monotonic()
        train_evaluator(config, log.folder, folder / "evaluator")
        marks.append(_cpu_seconds())
        evaluator = read_checkpoint(folder / "evaluator")
        fit_generator(config, log.tables, evaluator, folder / "generator")
        marks.append(_cpu_seconds())
        generator = read_checkpoint(folder / "generator")
        arrays = measure_pipeline_lists(generator, evaluator, log.tables, log.rows)
        marks.append(_cpu_seconds())
        cache.write_arrays(self, arrays)
        spent = dict(
            zip(("evaluator", "generator", "measure"), np.diff(marks).tolist(), strict=True)
        )
        cache.write_values(self, {"cpu_seconds": spent, "seconds": time.monotonic() - started})

    def _config(self) -> PipelineConfig:
        config = self.config
        return replace(
            config,
            train_evaluator=replace(config.train_evaluator, seed=self.seed),
            train_generator=replace(config.train_generator, seed=self.seed),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldRowJob:
    """The row of one world, size, seed and configuration."""

    pipeline: PipelineJob
    reference: ReferenceJob
    baselines: tuple[WorldBaselineJob, ...]

    @property
    def title(self) -> str:
        """See `BenchmarkJob`."""
        return f"{self.pipeline.title} row"

    def cache_key(self) -> str:
        """See `BenchmarkJob`."""
        return f"{WORLD_ROW_FORMAT}"

    def dependencies(self) -> tuple[BenchmarkJob, ...]:
        """See `BenchmarkJob`."""
        return (self.pipeline, self.reference, *self.baselines)

    def run(self, cache: JobCache) -> None:
        """Write the row as JSON values."""
        known, nets = cache.read_arrays(self.reference), cache.read_arrays(self.pipeline)
        truth = TrueValues(input=known["true_input"], best=known["true_best"], user=known["user"])
        log = self.pipeline.log.open(cache, self.pipeline.requests)
        lists = {
            kind.removeprefix(LISTS): array
            for kind, array in nets.items()
            if kind.startswith(LISTS)
        }
        lists |= {job.method: cache.read_arrays(job)["lists"] for job in self.baselines}
        lists["taste"] = known["lists_taste"]
        measures: dict[str, ListMeasures] = {}
        for kind, chosen in lists.items():
            value = true_values(log.world, log.tables, log.rows, chosen.astype(np.int64))
            measures[kind] = list_measures(value, truth)
            if PROMISED + kind in nets and kind != "input":
                hoped = nets[PROMISED + kind].astype(np.float64) - nets[PROMISED + "input"]
                measures[kind] |= promise_measures(hoped, value - truth.input, truth)
            if log.tables.slots == log.tables.max_candidates:
                ndcg = logged_ndcg(chosen, known["shown"], known["clicks"], truth)
                measures[kind]["ndcg@10"] = ndcg
        cache.write_values(self, self._identity(log) | {"lists": measures})

    def _identity(self, log: MeasuredLog) -> dict[str, Any]:
        world, config = self.pipeline.log.world, self.pipeline.log.world.config
        return {
            "world": world.name,
            "half": world.half,
            "form": config.form,
            "log": world.log_name,
            "training_lists": config.lists,
            "slots": config.slots,
            "candidates": config.candidates,
            "seed": self.pipeline.seed,
            "config": self.pipeline.name,
            "requests": len(log.rows),
        }

    def read_row(self, cache: JobCache) -> dict[str, Any]:
        """The finished row, with the seconds of the training."""
        return cache.read_values(self) | cache.read_values(self.pipeline)


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system
