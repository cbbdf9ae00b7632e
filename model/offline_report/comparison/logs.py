"""The problems that the report is made of: their logs are built once and kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from model.baselines.registry import METHODS
from model.config import Config
from model.config_values import ConfigError
from model.data.click_world import WorldConfig, write_click_world
from model.data.log_info import BY_TIME
from model.data.movielens import MovielensConfig, write_movielens
from model.data.prepare import fingerprint
from model.data.tables import load_tables
from model.data.toml_config import read_toml
from model.offline_report.comparison.problems import (
    CASCADE_METHODS,
    EXPERIMENTS,
    LARGE_SPACE_METHODS,
    SMALL_SPACE_METHODS,
    Experiment,
    Problem,
    methods_for,
)

CONFIGS = Path(__file__).parents[2] / "configs"
PRESETS = Path(__file__).parents[2] / "data"


TITLES = {
    "world_4of12": "click world, 4 of 12",
    "world_5of5": "click world, 5 of 5",
    "world_10of50": "click world, 10 of 50",
    "movielens": "MovieLens 100K, 10 of up to 50",
    "movielens_by_time": "MovieLens 100K, cut at one moment for all users",
    "cascade_4of12": "cascade world, 4 of 12",
    "repeating_4of12": "click world, 4 of 12, behind an upstream that repeats its errors",
}
PROBLEMS = tuple(TITLES)
CONFIGURED = {
    "world_4of12": "click_world",
    "world_5of5": "click_world",
    "world_10of50": "click_world_10of50",
    "movielens": "movielens",
    "movielens_by_time": "movielens",
    "cascade_4of12": "click_world",
    "repeating_4of12": "click_world",
}  # names of files in `configs/`
WORLDS = {
    "world_4of12": "click_world_4of12",
    "world_5of5": "click_world_5of5",
    "world_10of50": "click_world_10of50",
    "cascade_4of12": "cascade_world_4of12",
    "repeating_4of12": "habit_world_4of12",
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
REPEATING_NOTE = (
    "In the other worlds upstream's error is drawn anew for every request, so its order of many "
    "requests says more of tastes than any ranker's would. Here it errs on a user and an item the "
    "same way each time."
)
BY_TIME_NOTE = "Labels are real. Most users of the test part were never seen in training."


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything.

    lists: training lists of a simulated log. large: of the one at 10-of-50.
    requests, large_requests: of the test part.
    problems: names of those that are looked at.
    experiments: those that are made where a problem asks for them.
    epochs: at most, of evaluators and methods; generator_epochs: of ours; None as configured.
    """

    lists: int
    large: int
    requests: int
    large_requests: int
    seeds: tuple[int, ...]
    large_seeds: tuple[int, ...]
    restarts: int
    ablation_epochs: int
    problems: tuple[str, ...] = PROBLEMS
    experiments: tuple[Experiment, ...] = EXPERIMENTS
    few_ablations: bool = False
    epochs: int | None = None
    generator_epochs: int | None = None


FULL = Size(
    lists=48_000,
    large=24_000,
    requests=1000,
    large_requests=60,
    seeds=(0, 1, 2),
    large_seeds=(0,),
    restarts=64,
    ablation_epochs=3,
)
QUICK = Size(
    lists=4_000,
    large=1_500,
    requests=60,
    large_requests=4,
    seeds=(0,),
    large_seeds=(0,),
    restarts=1,
    ablation_epochs=1,
    problems=("world_4of12", "world_10of50", "movielens"),
    experiments=("judges", "optimism", "tau", "ablations", "neighbors"),
    few_ablations=True,
    epochs=3,
    generator_epochs=2,
)


def public_problems(
    work: Path, wheel: Path, size: Size, asked: Collection[str] = PROBLEMS
) -> list[Problem]:
    """Worlds at 4-of-12, 5-of-5 and 10-of-50, movielens, and a world of another form.

    Only the logs of those that were asked for are built.
    """
    names = [name for name in size.problems if name in asked]
    return [_sized(_public(name, work, wheel, size), size) for name in names]


def _public(name: str, work: Path, wheel: Path, size: Size) -> Problem:
    """One of ours, its log built if it is not there yet."""
    if name in WORLDS:
        lists = size.large if name == "world_10of50" else size.lists
        log = _world(work, wheel, WORLDS[name], lists)
    else:
        split = BY_TIME if name == "movielens_by_time" else MovielensConfig().split
        log = work / name
        _built(log, lambda: write_movielens(wheel, log, MovielensConfig(split=split)))
    problem = Problem(
        name=name, title=TITLES[name], log=log, fingerprint=fingerprint(log),
        config=_config(CONFIGURED[name], size), published=_config("nlgr", size),
        seeds=size.seeds, requests=size.requests,
    )  # fmt: skip
    return _detailed(problem, size)


def _detailed(problem: Problem, size: Size) -> Problem:
    """With the methods, experiments and notes of this one."""
    match problem.name:
        case "world_4of12":
            return replace(problem, experiments=EXPERIMENTS)
        case "world_5of5":
            return replace(problem, experiments=("cru_loss",), methods=SMALL_SPACE_METHODS)
        case "world_10of50":
            return replace(
                problem, methods=LARGE_SPACE_METHODS,
                seeds=size.large_seeds, requests=size.large_requests, restarts=size.restarts,
            )  # fmt: skip
        case "movielens":
            methods = methods_for(load_tables(problem.log), tuple(METHODS))
            return replace(
                problem, methods=methods, restarts=0, note=BY_USER_NOTE, experiments=("optimism",)
            )
        case "movielens_by_time":
            methods = ("input_order", "popularity", "pointwise", "prm")
            return replace(problem, methods=methods, restarts=0, note=BY_TIME_NOTE)
        case _:
            note = CASCADE_NOTE if problem.name == "cascade_4of12" else REPEATING_NOTE
            return replace(problem, methods=CASCADE_METHODS, note=note, seeds=size.large_seeds)


def _sized(problem: Problem, size: Size) -> Problem:
    return replace(
        problem,
        experiments=tuple(name for name in problem.experiments if name in size.experiments),
        ablation_epochs=size.ablation_epochs,
        few_ablations=size.few_ablations,
    )


def own_problem(log: Path, config: Config, size: Size) -> Problem:
    """A user's own log: every method that its lists allow, every experiment.

    Raises:
        ConfigError: the objective asks for item values, which the methods compared never see.
    """
    if config.objective.value:
        raise ConfigError(
            f"[objective] value = {config.objective.value:g}: the comparison measures clicks and "
            "conversions only; relist-measure knows values"
        )
    tables = load_tables(log)
    problem = Problem(
        name="log", title=tables.info.name, log=log, fingerprint=tables.fingerprint,
        config=_shortened(config, size), published=_config("nlgr", size),
        seeds=size.seeds, requests=size.requests,
        methods=methods_for(tables, tuple(METHODS)), restarts=size.restarts,
        experiments=EXPERIMENTS,
    )  # fmt: skip
    return _sized(problem, size)


def _world(work: Path, wheel: Path, preset: str, lists: int) -> Path:
    folder = work / f"{preset}-{lists}"
    config = replace(read_toml(WorldConfig, PRESETS / f"{preset}.toml"), lists=lists)
    _built(folder, lambda: write_click_world(wheel, folder, config))
    return folder


def _built(folder: Path, write: Callable[[], int]) -> None:
    if not (folder / "schema.toml").exists():
        sys.stderr.write(f"building {folder}\n")
        write()
    load_tables(folder)  # prepared once, before processes ask for it at the same time


def _config(name: str, size: Size) -> Config:
    return _shortened(Config.read(CONFIGS / f"{name}.toml"), size)


def _shortened(config: Config, size: Size) -> Config:
    evaluator, generator = config.train_evaluator, config.train_generator
    if size.epochs is not None:
        evaluator = replace(evaluator, epochs=min(size.epochs, evaluator.epochs))
    if size.generator_epochs is not None:
        epochs = min(size.generator_epochs, generator.epochs)
        generator = replace(generator, epochs=epochs, least_steps=0)
    return replace(config, train_evaluator=evaluator, train_generator=generator)
