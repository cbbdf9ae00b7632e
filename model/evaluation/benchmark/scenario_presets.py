"""Scenarios of the public benchmark: each one is a row of `SCENARIO_PRESETS`.

Builds their logs once below a work folder. Does not run jobs.
"""

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
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.simulated_log import write_click_world_log
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioPreset:
    """One public scenario.

    Attributes:
        title: heading on the page.
        config: file name in `model/config/presets`, without `.toml`.
        world: file name in `model/data/presets`, without `.toml`; None for MovieLens.
        split: how MovieLens is split into parts; None for the default split.
        note: caveat printed under the heading.
        methods: names of baselines; None means every method that the list space allows.
        experiments: additional parts of the page.
        is_large_space: use the list count, request count, restarts and seeds of large spaces.
        single_seed: use the seeds of large spaces, with the full number of requests.
        finds_best_list: whether the best list is searched where it cannot be enumerated.
    """

    title: str
    config: str = "click_world"
    world: str | None = None
    split: str | None = None
    note: str = ""
    methods: tuple[str, ...] | None = None
    experiments: tuple[ExperimentName, ...] = ()
    is_large_space: bool = False
    single_seed: bool = False
    finds_best_list: bool = True


SCENARIO_PRESETS = {
    "world_4of12": ScenarioPreset(
        title="click world, 4 of 12", world="click_world_4of12", experiments=EXPERIMENTS
    ),
    "world_5of5": ScenarioPreset(
        title="click world, 5 of 5",
        world="click_world_5of5",
        methods=SMALL_SPACE_METHODS,
        experiments=("cru_loss",),
    ),
    "world_10of50": ScenarioPreset(
        title="click world, 10 of 50",
        config="click_world_10of50",
        world="click_world_10of50",
        methods=LARGE_SPACE_METHODS,
        is_large_space=True,
    ),
    "movielens": ScenarioPreset(
        title="MovieLens 100K, 10 of up to 50",
        config="movielens",
        note=(
            "Labels are real. The timeline of each user is split separately. Most test sessions "
            "therefore follow a training session of the same user, and training contains later "
            "ratings of other users. The next section splits all users at the same time."
        ),
        experiments=("overestimation",),
        finds_best_list=False,
    ),
    "movielens_by_time": ScenarioPreset(
        title="MovieLens 100K, all users split at one time",
        config="movielens",
        split=SPLIT_BY_TIME,
        note="Labels are real. Most users of the test part do not occur in training.",
        methods=("input_order", "popularity", "pointwise", "prm"),
        finds_best_list=False,
    ),
    "cascade_4of12": ScenarioPreset(
        title="cascade world, 4 of 12",
        world="cascade_world_4of12",
        note=(
            "A cascade click model: the user leaves after a click or after losing interest, and "
            "attraction depends on the contrast to the mean of the list. Settings were also chosen "
            "on validation requests of this world."
        ),
        methods=CASCADE_METHODS,
        single_seed=True,
    ),
    "systematic_bias_4of12": ScenarioPreset(
        title="click world, 4 of 12, systematic upstream bias",
        world="systematic_bias_world_4of12",
        note=(
            "In the other worlds the upstream error is drawn independently for every request. The "
            "upstream order of many requests is then more informative than a real ranker's. Here "
            "the error of a pair of user and item is the same in every request."
        ),
        methods=CASCADE_METHODS,
        single_seed=True,
    ),
}
SCENARIO_NAMES = tuple(SCENARIO_PRESETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkSize:
    """Amount of data and computation of a benchmark.

    Attributes:
        training_lists: lists of a simulated log; `large_space_lists`: of a large space.
        max_requests: measured requests of the test part; `large_space_requests`: of a large space.
        seeds: seeds of each scenario; `large_space_seeds`: of a large or single-seed scenario.
        climb_restarts: restarts that search for the best list of a large space.
        ablation_epochs: epochs of each ablation generator.
        scenarios: names of scenarios to run.
        experiments: experiments to run where a scenario asks for them.
        few_ablations: whether only the first four ablations run.
        max_epochs: limit for evaluators and methods; None means as configured.
        max_generator_epochs: limit for Relist generators; None means as configured.
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
    """The selected public scenarios; builds the logs of these only.

    Args:
        work: folder for the logs.
        wheel: wheel file of the MovieLens data set.
        size: amount of data and computation.
        selected: names of scenarios.
    """
    names = [name for name in size.scenarios if name in selected]
    return [_public_scenario(name, work, wheel, size) for name in names]


def _public_scenario(name: str, work: Path, wheel: Path, size: BenchmarkSize) -> Scenario:
    """The scenario of a preset, with its log built."""
    preset = SCENARIO_PRESETS[name]
    log = _preset_log(name, work, wheel, size)
    few_seeds = preset.is_large_space or preset.single_seed
    scenario = Scenario(
        name=name,
        title=preset.title,
        log=log,
        fingerprint=log_fingerprint(log),
        config=_config(preset.config, size),
        published_config=_config("nlgr", size),
        note=preset.note,
        seeds=size.large_space_seeds if few_seeds else size.seeds,
        methods=preset.methods or applicable_methods(load_log_tables(log), tuple(BASELINE_METHODS)),
        max_requests=size.large_space_requests if preset.is_large_space else size.max_requests,
        experiments=preset.experiments,
    )
    if not preset.finds_best_list:
        scenario = replace(scenario, climb_restarts=0)
    elif preset.is_large_space:
        scenario = replace(scenario, climb_restarts=size.climb_restarts)
    return _with_size(scenario, size)


def _preset_log(name: str, work: Path, wheel: Path, size: BenchmarkSize) -> Path:
    """Folder of the preset's log, which is built if it is missing."""
    preset = SCENARIO_PRESETS[name]
    if preset.world is not None:
        lists = size.large_space_lists if preset.is_large_space else size.training_lists
        return _click_world_log(work, wheel, preset.world, lists)
    log = work / name
    config = MovieLensConfig() if preset.split is None else MovieLensConfig(split=preset.split)
    _build_log_once(log, lambda: write_movielens_log(wheel, log, config))
    return log


def _with_size(scenario: Scenario, size: BenchmarkSize) -> Scenario:
    return replace(
        scenario,
        experiments=tuple(name for name in scenario.experiments if name in size.experiments),
        ablation_epochs=size.ablation_epochs,
        few_ablations=size.few_ablations,
    )


def custom_log_scenario(log: Path, config: PipelineConfig, size: BenchmarkSize) -> Scenario:
    """The scenario of any canonical log: all applicable methods, all experiments.

    Raises:
        ConfigError: the objective uses item values, which baselines do not support.
    """
    if config.objective.value:
        raise ConfigError(
            f"[objective] value = {config.objective.value:g}: the benchmark measures clicks and "
            "conversions only; use relist evaluate for item values"
        )
    tables = load_log_tables(log)
    scenario = Scenario(
        name="log",
        title=tables.info.name,
        log=log,
        fingerprint=tables.fingerprint,
        config=_with_epoch_limits(config, size),
        published_config=_config("nlgr", size),
        seeds=size.seeds,
        max_requests=size.max_requests,
        methods=applicable_methods(tables, tuple(BASELINE_METHODS)),
        climb_restarts=size.climb_restarts,
        experiments=EXPERIMENTS,
    )
    return _with_size(scenario, size)


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
    load_log_tables(folder)  # fills the table cache before several processes read it


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
