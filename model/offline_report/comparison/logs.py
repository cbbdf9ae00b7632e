"""The problems that the report is made of: their logs are built once and kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from model.baselines.registry import METHODS
from model.config import Config, ConfigError
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


PROBLEMS = (
    "world_4of12", "world_5of5", "world_10of50", "movielens", "movielens_by_time", "cascade_4of12",
)  # fmt: skip
BY_USER_NOTE = (
    "Labels are real. Each user's own timeline is cut, so most test sittings follow a training "
    "sitting of the same user, and other users' later ratings are in training; the next section "
    "cuts the log at one moment for all."
)
CASCADE_NOTE = (
    "A world of another form (the user leaves after a click or out of boredom; attraction is by "
    "contrast to the list's mean) that no setting was chosen on."
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
    experiments=("judges", "tau", "ablations", "neighbors"),
    few_ablations=True,
    epochs=3,
    generator_epochs=2,
)


def public_problems(work: Path, wheel: Path, size: Size) -> list[Problem]:
    """Worlds at 4-of-12, 5-of-5 and 10-of-50, movielens, and a world of another form."""
    world, many, movielens, published = (
        _config(name, size) for name in ("click_world", "click_world_10of50", "movielens", "nlgr")
    )
    four = _world(work, wheel, "click_world_4of12", size.lists)
    five = _world(work, wheel, "click_world_5of5", size.lists)
    large = _world(work, wheel, "click_world_10of50", size.large)
    cascade = _world(work, wheel, "cascade_world_4of12", size.lists)
    real = work / "movielens"
    _built(real, lambda: write_movielens(wheel, real, MovielensConfig()))
    cut = work / "movielens_by_time"
    _built(cut, lambda: write_movielens(wheel, cut, MovielensConfig(split=BY_TIME)))
    problems = [
        Problem(
            name="world_4of12", title="click world, 4 of 12", log=four,
            fingerprint=fingerprint(four), config=world, published=published,
            seeds=size.seeds, requests=size.requests,
            experiments=("judges", "tau", "cru_loss", "ablations", "neighbors"),
        ),
        Problem(
            name="world_5of5", title="click world, 5 of 5", log=five, fingerprint=fingerprint(five),
            config=world, published=published, seeds=size.seeds, requests=size.requests,
            experiments=("cru_loss",), methods=SMALL_SPACE_METHODS,
        ),
        Problem(
            name="world_10of50", title="click world, 10 of 50", log=large,
            fingerprint=fingerprint(large), config=many, published=published,
            seeds=size.large_seeds,
            methods=LARGE_SPACE_METHODS, requests=size.large_requests, restarts=size.restarts,
            experiments=("collapse",),
        ),
        Problem(
            name="movielens", title="MovieLens 100K, 10 of up to 50", log=real,
            fingerprint=fingerprint(real), config=movielens, published=published,
            seeds=size.seeds, requests=size.requests, methods=_without_exact(real),
            restarts=0, note=BY_USER_NOTE,
        ),
        Problem(
            name="movielens_by_time", title="MovieLens 100K, cut at one moment for all users",
            log=cut, fingerprint=fingerprint(cut), config=movielens, published=published,
            seeds=size.seeds, requests=size.requests,
            methods=("input_order", "popularity", "pointwise", "prm"),
            restarts=0, note=BY_TIME_NOTE,
        ),
        Problem(
            name="cascade_4of12", title="cascade world, 4 of 12", log=cascade,
            fingerprint=fingerprint(cascade), config=world, published=published,
            seeds=size.seeds, requests=size.requests, methods=CASCADE_METHODS, note=CASCADE_NOTE,
        ),
    ]  # fmt: skip
    return [_sized(problem, size) for problem in problems if problem.name in size.problems]


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
        generator = replace(generator, epochs=min(size.generator_epochs, generator.epochs))
    return replace(config, train_evaluator=evaluator, train_generator=generator)


def _without_exact(log: Path) -> tuple[str, ...]:
    return methods_for(load_tables(log), tuple(METHODS))
