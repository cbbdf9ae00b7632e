"""The problems that the report is made of: their logs are built once and kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from model.baselines.registry import BASELINE_METHODS
from model.config.pipeline_config import PipelineConfig
from model.config.toml_reader import ConfigError, read_flat_toml
from model.data.log.log_info import SPLIT_BY_TIME
from model.data.movielens.movielens_log import MovieLensConfig, write_movielens_log
from model.data.simulation.simulated_log import ClickWorldConfig, write_click_world_log
from model.data.tables.table_builder import log_fingerprint
from model.data.tables.table_cache import load_log_tables
from model.evaluation.benchmark.benchmark_scenario import (
    CASCADE_METHODS,
    EXPERIMENTS,
    LARGE_SPACE_METHODS,
    SMALL_SPACE_METHODS,
    ExperimentName,
    Scenario,
    applicable_methods,
)

CONFIG_DIR = Path(__file__).parents[2] / "config" / "presets"
WORLD_PRESET_DIR = Path(__file__).parents[2] / "data" / "presets"


SCENARIO_TITLES = {
    "world_4of12": "click world, 4 of 12",
    "world_5of5": "click world, 5 of 5",
    "world_10of50": "click world, 10 of 50",
    "movielens": "MovieLens 100K, 10 of up to 50",
    "movielens_by_time": "MovieLens 100K, cut at one moment for all users",
    "cascade_4of12": "cascade world, 4 of 12",
    "systematic_bias_4of12": "click world, 4 of 12, behind an upstream that repeats its errors",
}
SCENARIO_NAMES = tuple(SCENARIO_TITLES)
SCENARIO_CONFIGS = {
    "world_4of12": "click_world",
    "world_5of5": "click_world",
    "world_10of50": "click_world_10of50",
    "movielens": "movielens",
    "movielens_by_time": "movielens",
    "cascade_4of12": "click_world",
    "systematic_bias_4of12": "click_world",
}  # names of files in `model/config/presets/`
SCENARIO_WORLDS = {
    "world_4of12": "click_world_4of12",
    "world_5of5": "click_world_5of5",
    "world_10of50": "click_world_10of50",
    "cascade_4of12": "cascade_world_4of12",
    "systematic_bias_4of12": "systematic_bias_world_4of12",
}  # names of files in `data/`
BY_USER_NOTE = (
    "Labels are real. Each user's own timeline is cut, so most test sittings follow a training "
    "sitting of the same user, and other users' later ratings are in training; the next section "
    "cuts the log at one moment for all."
)
CASCADE_NOTE = (
    "A world of another form (the user leaves after a click or out of boredom; attraction is by "
    "contrast to the list's mean). Settings were chosen on validation requests of this one, too."
)
SYSTEMATIC_BIAS_NOTE = (
    "In the other worlds upstream's error is drawn anew for every request, so its order of many "
    "requests says more of tastes than any ranker's would. Here it errs on a user and an item the "
    "same way each time."
)
BY_TIME_NOTE = "Labels are real. Most users of the test part were never seen in training."


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSize:
    """How much of everything.

    lists: training lists of a simulated log. large: of the one at 10-of-50.
    requests, large_space_requests: of the test part.
    problems: names of those that are looked at.
    experiments: those that are made where a problem asks for them.
    epochs: at most, of evaluators and methods; max_generator_epochs: of ours; None as configured.
    """

    training_lists: int
    large_space_lists: int
    max_requests: int
    large_space_requests: int
    seeds: tuple[int, ...]
    large_space_seeds: tuple[int, ...]
    climb_restarts: int
    ablation_epochs: int
    scenarios: tuple[str, ...] = SCENARIO_NAMES
    experiments: tuple[ExperimentName, ...] = EXPERIMENTS
    few_ablations: bool = False
    max_epochs: int | None = None
    max_generator_epochs: int | None = None


FULL_SIZE = BenchmarkSize(
    training_lists=48_000,
    large_space_lists=24_000,
    max_requests=1000,
    large_space_requests=60,
    seeds=(0, 1, 2),
    large_space_seeds=(0,),
    climb_restarts=64,
    ablation_epochs=3,
)
QUICK_SIZE = BenchmarkSize(
    training_lists=4_000,
    large_space_lists=1_500,
    max_requests=60,
    large_space_requests=4,
    seeds=(0,),
    large_space_seeds=(0,),
    climb_restarts=1,
    ablation_epochs=1,
    scenarios=("world_4of12", "world_10of50", "movielens"),
    experiments=("holdout", "overestimation", "tau", "ablations", "neighbors"),
    few_ablations=True,
    max_epochs=3,
    max_generator_epochs=2,
)


def public_scenarios(
    work: Path, wheel: Path, size: BenchmarkSize, selected: Collection[str] = SCENARIO_NAMES
) -> list[Scenario]:
    """Worlds at 4-of-12, 5-of-5 and 10-of-50, movielens, and a world of another form.

    Only the logs of those that were asked for are built.
    """
    names = [name for name in size.scenarios if name in selected]
    return [_with_size(_public_scenario(name, work, wheel, size), size) for name in names]


def _public_scenario(name: str, work: Path, wheel: Path, size: BenchmarkSize) -> Scenario:
    """One of ours, its log built if it is not there yet."""
    if name in SCENARIO_WORLDS:
        lists = size.large_space_lists if name == "world_10of50" else size.training_lists
        log = _click_world_log(work, wheel, SCENARIO_WORLDS[name], lists)
    else:
        split = SPLIT_BY_TIME if name == "movielens_by_time" else MovieLensConfig().split
        log = work / name
        _build_log_once(log, lambda: write_movielens_log(wheel, log, MovieLensConfig(split=split)))
    problem = Scenario(
        name=name, title=SCENARIO_TITLES[name], log=log, fingerprint=log_fingerprint(log),
        config=_config(SCENARIO_CONFIGS[name], size), published_config=_config("nlgr", size),
        seeds=size.seeds, max_requests=size.max_requests,
    )  # fmt: skip
    return _with_scenario_details(problem, size)


def _with_scenario_details(scenario: Scenario, size: BenchmarkSize) -> Scenario:
    """With the methods, experiments and notes of this one."""
    match scenario.name:
        case "world_4of12":
            return replace(scenario, experiments=EXPERIMENTS)
        case "world_5of5":
            return replace(scenario, experiments=("cru_loss",), methods=SMALL_SPACE_METHODS)
        case "world_10of50":
            return replace(
                scenario, methods=LARGE_SPACE_METHODS,
                seeds=size.large_space_seeds, max_requests=size.large_space_requests, climb_restarts=size.climb_restarts,
            )  # fmt: skip
        case "movielens":
            methods = applicable_methods(load_log_tables(scenario.log), tuple(BASELINE_METHODS))
            return replace(
                scenario,
                methods=methods,
                climb_restarts=0,
                note=BY_USER_NOTE,
                experiments=("overestimation",),
            )
        case "movielens_by_time":
            methods = ("input_order", "popularity", "pointwise", "prm")
            return replace(scenario, methods=methods, climb_restarts=0, note=BY_TIME_NOTE)
        case _:
            note = CASCADE_NOTE if scenario.name == "cascade_4of12" else SYSTEMATIC_BIAS_NOTE
            return replace(
                scenario, methods=CASCADE_METHODS, note=note, seeds=size.large_space_seeds
            )


def _with_size(scenario: Scenario, size: BenchmarkSize) -> Scenario:
    return replace(
        scenario,
        experiments=tuple(name for name in scenario.experiments if name in size.experiments),
        ablation_epochs=size.ablation_epochs,
        few_ablations=size.few_ablations,
    )


def custom_log_scenario(log: Path, config: PipelineConfig, size: BenchmarkSize) -> Scenario:
    """A user's own log: every method that its lists allow, every experiment.

    Raises:
        ConfigError: the objective asks for item values, which the methods compared never see.
    """
    if config.objective.value:
        raise ConfigError(
            f"[objective] value = {config.objective.value:g}: the comparison measures clicks and "
            "conversions only; relist evaluate knows values"
        )
    tables = load_log_tables(log)
    problem = Scenario(
        name="log", title=tables.info.name, log=log, fingerprint=tables.fingerprint,
        config=_with_epoch_limits(config, size), published_config=_config("nlgr", size),
        seeds=size.seeds, max_requests=size.max_requests,
        methods=applicable_methods(tables, tuple(BASELINE_METHODS)), climb_restarts=size.climb_restarts,
        experiments=EXPERIMENTS,
    )  # fmt: skip
    return _with_size(problem, size)


def _click_world_log(work: Path, wheel: Path, preset: str, lists: int) -> Path:
    folder = work / f"{preset}-{lists}"
    config = replace(
        read_flat_toml(ClickWorldConfig, WORLD_PRESET_DIR / f"{preset}.toml"), lists=lists
    )
    _build_log_once(folder, lambda: write_click_world_log(wheel, folder, config))
    return folder


def _build_log_once(folder: Path, write: Callable[[], int]) -> None:
    if not (folder / "schema.toml").exists():
        sys.stderr.write(f"building {folder}\n")
        write()
    load_log_tables(folder)  # prepared once, before processes ask for it at the same time


def _config(name: str, size: BenchmarkSize) -> PipelineConfig:
    return _with_epoch_limits(PipelineConfig.from_toml(CONFIG_DIR / f"{name}.toml"), size)


def _with_epoch_limits(config: PipelineConfig, size: BenchmarkSize) -> PipelineConfig:
    evaluator, generator = config.train_evaluator, config.train_generator
    if size.max_epochs is not None:
        evaluator = replace(evaluator, epochs=min(size.max_epochs, evaluator.epochs))
    if size.max_generator_epochs is not None:
        epochs = min(size.max_generator_epochs, generator.epochs)
        generator = replace(generator, epochs=epochs, min_steps=0)
    return replace(config, train_evaluator=evaluator, train_generator=generator)
