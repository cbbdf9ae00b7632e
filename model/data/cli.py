"""`relist log`: builds, checks and prepares canonical logs from the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from model.contract.errors import ContractError
from model.data.errors import DataConfigError, DataError
from model.data.log.limits import ListLimits
from model.data.movielens.download import download_cache_dir, fetch_wheel
from model.data.movielens.movielens_log import MovieLensConfig, write_movielens_log
from model.data.simulation.simulated_log import ClickWorldConfig, write_click_world_log
from model.data.tables.log_validation import validate_log
from model.data.tables.table_builder import DEFAULT_HISTORY_LENGTH
from model.data.tables.table_cache import load_log_tables
from model.data.toml_config import read_flat_toml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_HERE = Path(__file__).parent
ConfigT = TypeVar("ConfigT", bound="DataclassInstance")
LogWriter = Callable[[Path, Path, ConfigT], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; 0, or 2 with one line that says what is wrong."""
    given = _parser().parse_args(argv)
    try:
        sys.stdout.write(given.run(given) + "\n")
    except (DataError, ContractError) as error:
        sys.stderr.write(f"relist log: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"relist log: {error.filename or ''}: {error.strerror}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="relist log", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "ML-100K rating sessions, every label known (small, real feedback)"
    movielens = _adapter(commands, "movielens", text, ["movielens"])
    movielens.set_defaults(run=_movielens)
    presets = [
        "click_world_4of12", "click_world_5of5", "click_world_10of50", "cascade_world_4of12",
        "systematic_bias_world_4of12",
    ]  # fmt: skip
    text = "simulated clicks whose true value is known"
    world = _adapter(commands, "click-world", text, presets)
    world.add_argument("--lists", type=int, help="training lists, instead of the config's")
    world.set_defaults(run=_click_world)
    check = _reader(
        commands, "check", "check a canonical log; name the first row that breaks a rule"
    )
    limits = ListLimits()
    check.add_argument("--max-candidates", type=int, default=limits.max_candidates)
    check.add_argument("--max-shown", type=int, default=limits.max_shown)
    check.set_defaults(run=_check)
    prepare = _reader(commands, "prepare", "encode a canonical log ahead of training")
    prepare.add_argument(
        "--sessions", type=int, default=DEFAULT_HISTORY_LENGTH, help="past lists a row sees"
    )
    prepare.add_argument("--cache", type=Path, help="folder that keeps prepared logs")
    prepare.set_defaults(run=_prepare)
    return parser


def _adapter(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    presets: list[str],
) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=text, description=f"Write a canonical log: {text}.")
    one.add_argument("--out", type=Path, required=True, help="folder of the log; replaced whole")
    one.add_argument("--config", type=Path, help=f"TOML file, or one of {', '.join(presets)}")
    one.set_defaults(presets=presets)
    one.add_argument("--seed", type=int, help="instead of the config's")
    one.add_argument("--wheel", type=Path, help="the data set's wheel, if it is on disk already")
    return one


def _reader(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    one.add_argument("log", type=Path, help="folder of the canonical log")
    return one


def _movielens(given: argparse.Namespace) -> str:
    config = _changed(_configured(MovieLensConfig, given), "seed", given.seed)
    return _build(given, config, write_movielens_log)


def _click_world(given: argparse.Namespace) -> str:
    config = _changed(_configured(ClickWorldConfig, given), "lists", given.lists)
    return _build(given, _changed(config, "seed", given.seed), write_click_world_log)


def _configured(kind: type[ConfigT], given: argparse.Namespace) -> ConfigT:
    if given.config is None:
        return kind()
    packaged = _HERE / "presets" / f"{given.config}.toml"
    return read_flat_toml(kind, packaged if str(given.config) in given.presets else given.config)


def _changed(config: ConfigT, key: str, value: int | None) -> ConfigT:
    """The config with what the command line says instead."""
    if value is None:
        return config
    try:
        return replace(config, **{key: value})
    except ValueError as error:
        raise DataConfigError(file="command line", key=f"--{key}", rule=str(error)) from error


def _build(given: argparse.Namespace, config: ConfigT, write: LogWriter[ConfigT]) -> str:
    source = fetch_wheel(given.wheel, download_cache_dir(os.environ))
    return f"{given.out}: {write(source, given.out, config)} requests"


def _check(given: argparse.Namespace) -> str:
    limits = ListLimits(max_candidates=given.max_candidates, max_shown=given.max_shown)
    log = validate_log(given.log, limits).log
    rows = log.impressions
    return (
        f"{given.log}: {len(rows.timestamp)} requests of {len(log.users.ids)} users, "
        f"{len(log.items.ids)} items, {rows.clicks.mean():.4f} clicks a shown item: no rule broken"
    )


def _prepare(given: argparse.Namespace) -> str:
    tables = load_log_tables(given.log, history_length=given.sessions, cache_dir=given.cache)
    train, validation, test = np.bincount(tables.part, minlength=3)
    return (
        f"{given.log}: {train} training, {validation} validation, {test} test requests; "
        f"N={tables.max_candidates} M={tables.slots} H={tables.history_length}, "
        f"{tables.schema.num_embeddings} embedding rows, schema {tables.schema.hash}"
    )
