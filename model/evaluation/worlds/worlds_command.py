"""What `relist benchmark --worlds` does: build, train, measure, describe, and write the page."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config.pipeline_config import PipelineConfig
from model.config.toml_reader import ConfigError
from model.data.atomic_files import replace_file
from model.data.movielens.download import download_cache_dir, fetch_wheel
from model.data.simulation.world_family import read_world_family, select_worlds
from model.evaluation.benchmark.job_cache import JobCache
from model.evaluation.benchmark.job_scheduler import run_jobs
from model.evaluation.worlds.world_description import (
    DESCRIBED_LISTS,
    DESCRIBED_REQUESTS,
    describe_world,
    description_table,
)
from model.evaluation.worlds.world_jobs import (
    IN_LIST_TREES,
    OPTIONAL_BASELINES,
    PipelineJob,
    ReferenceJob,
    WorldBaselineJob,
    WorldLogJob,
    WorldRowJob,
)
from model.evaluation.worlds.worlds_page import format_worlds_page

ROWS_JSONL, PAGE, DESCRIPTION_PAGE = "worlds.jsonl", "worlds.md", "worlds_described.md"
DEFAULT_CONFIG_NAME = "default"
_ROW_KEY = ("world", "training_lists", "seed", "config")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldsOptions:
    """Options of `relist benchmark --worlds`.

    out: folder of the page and the rows.  work: folder of logs, nets and cached results.
    worlds: names and halves.  config: TOML of the pipeline; its file name is the name in rows.
    lists: training lists instead of those of the family.  baselines: optional ones to train.
    """

    out: Path
    work: Path
    worlds: Sequence[str]
    config: Path | None = None
    lists: int | None = None
    seeds: tuple[int, ...] = (0,)
    requests: int = 1000
    baselines: Sequence[str] = ()
    processes: int = 1
    wheel: Path | None = None
    command: str = ""


def run_worlds(options: WorldsOptions) -> Path:
    """Train and measure what is missing, add rows to worlds.jsonl, write the page; its path.

    Raises ConfigError for options that cannot be used, JobFailed for a job that failed. Rows of
    finished worlds are written in both cases.
    """
    cache = JobCache(options.work / "worlds")
    jobs = world_row_jobs(options)
    try:
        run_jobs(jobs, cache, options.processes)
    finally:
        finished = [job.read_row(cache) for job in jobs if cache.is_complete(job)]
        rows = merge_rows(options.out / ROWS_JSONL, finished)
        page = options.out / PAGE
        page.write_text(format_worlds_page(rows, options.command), encoding="utf-8")
    return page


def world_row_jobs(options: WorldsOptions) -> list[WorldRowJob]:
    """One job for each world and seed."""
    config = PipelineConfig.from_toml(options.config)
    _require_click_reward(config)
    for method in options.baselines:
        if method not in OPTIONAL_BASELINES:
            raise ConfigError(f"--methods {method}: is none of {', '.join(OPTIONAL_BASELINES)}")
    name = DEFAULT_CONFIG_NAME if options.config is None else options.config.stem
    return [
        _row_job(log, options, name=name, config=config, seed=seed)
        for log in _log_jobs(options, options.lists)
        for seed in options.seeds
    ]


def describe_worlds(options: WorldsOptions) -> Path:
    """Write a page with rates and headroom of the worlds; returns its path."""
    cache = JobCache(options.work / "worlds")
    logs = _log_jobs(options, DESCRIBED_LISTS)
    references = [ReferenceJob(log=log, requests=DESCRIBED_REQUESTS) for log in logs]
    run_jobs(references, cache, options.processes)
    described = []
    for job in references:
        known = cache.read_arrays(job)
        described.append((job.log.world, describe_world(known, job.log.world.config.slots)))
    page = options.out / DESCRIPTION_PAGE
    options.out.mkdir(parents=True, exist_ok=True)
    page.write_text(description_table(described), encoding="utf-8")
    return page


def merge_rows(path: Path, fresh: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the file with the fresh ones in place of those of the same key; writes the file."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    if path.exists():
        kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        rows = {tuple(row[key] for key in _ROW_KEY): row for row in kept}
    rows |= {tuple(row[key] for key in _ROW_KEY): row for row in fresh}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as replacement:
        lines = [json.dumps(row) + "\n" for row in rows.values()]
        replacement.write_text("".join(lines), encoding="utf-8")
    return list(rows.values())


def _log_jobs(options: WorldsOptions, lists: int | None) -> list[WorldLogJob]:
    worlds = select_worlds(read_world_family(), options.worlds)
    wheel = fetch_wheel(options.wheel, download_cache_dir(os.environ))
    return [WorldLogJob(world=world.with_lists(lists), wheel=wheel) for world in worlds]


def _row_job(
    log: WorldLogJob, options: WorldsOptions, *, name: str, config: PipelineConfig, seed: int
) -> WorldRowJob:
    requests = options.requests
    return WorldRowJob(
        pipeline=PipelineJob(log=log, requests=requests, name=name, config=config, seed=seed),
        reference=ReferenceJob(log=log, requests=requests),
        baselines=tuple(
            WorldBaselineJob(log=log, requests=requests, method=method, seed=seed, config=config)
            for method in (IN_LIST_TREES, *options.baselines)
        ),
    )


def _require_click_reward(config: PipelineConfig) -> None:
    objective = config.objective
    if objective.click != 1.0 or objective.conversion or objective.value or objective.discount:
        raise ConfigError("[objective]: worlds count clicks; leave the objective at its default")
