"""What `relist benchmark` does with its options."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from model.baselines.registry import BASELINE_METHODS
from model.config.pipeline_config import PipelineConfig
from model.config.toml_reader import ConfigError
from model.data.movielens.download import download_cache_dir, fetch_wheel
from model.evaluation.benchmark.benchmark_plan import BenchmarkPlan
from model.evaluation.benchmark.benchmark_report import write_benchmark_report
from model.evaluation.benchmark.benchmark_run import run_benchmark
from model.evaluation.benchmark.benchmark_scenario import EXPERIMENTS, Scenario
from model.evaluation.benchmark.job_cache import JobCache
from model.evaluation.benchmark.scenario_presets import (
    FULL_SIZE,
    QUICK_SIZE,
    BenchmarkSize,
    custom_log_scenario,
    public_scenarios,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkOptions:
    """Options of `relist benchmark`.

    out: folder of page and figures.  work: folder of logs, nets and cached results.
    log, config: the user's own canonical log and configuration, instead of the public scenarios.
    scenarios, seeds, methods, experiments: None takes all.
    command: how the user called it, for the page.
    """

    out: Path
    work: Path
    quick: bool
    log: Path | None
    config: Path | None
    scenarios: Sequence[str] | None
    seeds: Sequence[str] | None
    methods: Sequence[str] | None
    experiments: Sequence[str] | None
    processes: int
    wheel: Path | None
    command: str


def run_benchmark_command(options: BenchmarkOptions) -> Path:
    """Train and measure what is missing in the cache and write the page; returns its path.

    Raises ConfigError, DataError or ContractError for input that cannot be used, EvaluatorTooWeak
    or JobFailed for a run that cannot go on.
    """
    size = QUICK_SIZE if options.quick else FULL_SIZE
    plans = [
        BenchmarkPlan(_with_selected_parts(scenario, options))
        for scenario in _selected_scenarios(options, size)
    ]
    cache = JobCache(options.work / "cache")
    run_benchmark(plans, cache, options.processes)
    return write_benchmark_report(options.out, plans, cache, options.command)


def _selected_scenarios(options: BenchmarkOptions, size: BenchmarkSize) -> list[Scenario]:
    if options.log is not None:
        return [custom_log_scenario(options.log, PipelineConfig.from_toml(options.config), size)]
    if options.config is not None:
        raise ConfigError("--config goes with --log: our own logs bring theirs")
    asked = size.scenarios if options.scenarios is None else options.scenarios
    _require_known("--scenario", asked, size.scenarios)
    movielens = fetch_wheel(options.wheel, download_cache_dir(os.environ))
    return public_scenarios(options.work / "logs", movielens, size, asked)


def _with_selected_parts(scenario: Scenario, options: BenchmarkOptions) -> Scenario:
    """Only the methods and experiments that were asked for."""
    methods, experiments = scenario.methods, scenario.experiments
    if options.methods is not None:
        _require_known("--methods", options.methods, BASELINE_METHODS)
        methods = tuple(name for name in methods if name in options.methods)
    if options.experiments is not None:
        _require_known("--experiments", options.experiments, (*EXPERIMENTS, "none"))
        experiments = tuple(name for name in experiments if name in options.experiments)
    seeds = (
        scenario.seeds
        if options.seeds is None
        else parse_seeds(options.seeds)[: len(scenario.seeds)]
    )
    return replace(scenario, methods=methods, experiments=experiments, seeds=seeds)


def parse_seeds(seeds: Sequence[str]) -> tuple[int, ...]:
    """Seeds of the command line; raises ConfigError."""
    if not seeds or not all(seed.isdecimal() for seed in seeds):
        raise ConfigError(f"--seeds {','.join(seeds)}: is no list of whole numbers, like 0,1,2")
    return tuple(int(seed) for seed in seeds)


def _require_known(option: str, asked: Sequence[str], known: Iterable[str]) -> None:
    unknown = [name for name in asked if name not in set(known)]
    if unknown:
        raise ConfigError(f"{option} {unknown[0]}: is none of {', '.join(known)}")
