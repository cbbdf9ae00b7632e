"""What the subcommands of `relist log` do: build, check and prepare canonical logs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from model.config.toml_reader import override_value, read_flat_toml
from model.data.log.limits import ListLimits
from model.data.movielens.download import download_cache_dir, fetch_wheel
from model.data.movielens.movielens_log import MovieLensConfig, write_movielens_log
from model.data.simulation.click_world_config import ClickWorldConfig
from model.data.simulation.simulated_log import write_click_world_log
from model.data.tables.log_validation import validate_log
from model.data.tables.table_builder import DEFAULT_HISTORY_LENGTH
from model.data.tables.table_cache import load_log_tables

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PRESET_DIR = Path(__file__).parent / "presets"
MOVIELENS_PRESETS = ("movielens",)
CLICK_WORLD_PRESETS = (
    "click_world_4of12",
    "click_world_5of5",
    "click_world_10of50",
    "cascade_world_4of12",
    "systematic_bias_world_4of12",
)
ConfigT = TypeVar("ConfigT", bound="DataclassInstance")
LogWriter = Callable[[Path, Path, ConfigT], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterOptions:
    """Options of a command that builds a public log.

    out: folder of the log, replaced whole.  config: TOML file or name of a preset.
    overrides: values of the command line, by configuration key; None leaves the configuration's.
    wheel: the data set's wheel where it is on disk already.
    """

    out: Path
    config: Path | None
    wheel: Path | None
    overrides: Mapping[str, int | str | None]


def build_movielens_log(options: AdapterOptions) -> str:
    """Write the log of ML-100K rating sessions; returns a line for the user."""
    config = _read_config(MovieLensConfig, options, MOVIELENS_PRESETS)
    return _build(options, config, write_movielens_log)


def build_click_world_log(options: AdapterOptions) -> str:
    """Write a log with simulated clicks; returns a line for the user."""
    config = _read_config(ClickWorldConfig, options, CLICK_WORLD_PRESETS)
    return _build(options, config, write_click_world_log)


def check_log(log_dir: Path, limits: ListLimits) -> str:
    """Check every rule of a canonical log; returns a line for the user, raises DataError."""
    log = validate_log(log_dir, limits).log
    rows = log.impressions
    return (
        f"{log_dir}: {len(rows.timestamp)} requests of {len(log.users.ids)} users, "
        f"{len(log.items.ids)} items, {rows.clicks.mean():.4f} clicks a shown item: no rule broken"
    )


def prepare_log(
    log_dir: Path, history_length: int = DEFAULT_HISTORY_LENGTH, cache_dir: Path | None = None
) -> str:
    """Encode a canonical log ahead of training; returns a line for the user."""
    tables = load_log_tables(log_dir, history_length=history_length, cache_dir=cache_dir)
    train, validation, test = np.bincount(tables.part, minlength=3)
    return (
        f"{log_dir}: {train} training, {validation} validation, {test} test requests; "
        f"N={tables.max_candidates} M={tables.slots} H={tables.history_length}, "
        f"{tables.schema.num_embeddings} embedding rows, schema {tables.schema.hash}"
    )


def _read_config(
    config_type: type[ConfigT], options: AdapterOptions, presets: tuple[str, ...]
) -> ConfigT:
    config = config_type()
    if options.config is not None:
        is_preset = str(options.config) in presets
        path = PRESET_DIR / f"{options.config}.toml" if is_preset else options.config
        config = read_flat_toml(config_type, path)
    for key, value in options.overrides.items():
        if value is not None:
            config = override_value(config, key, value, f"command line: --{key}")
    return config


def _build(options: AdapterOptions, config: ConfigT, write: LogWriter[ConfigT]) -> str:
    wheel = fetch_wheel(options.wheel, download_cache_dir(os.environ))
    return f"{options.out}: {write(wheel, options.out, config)} requests"
