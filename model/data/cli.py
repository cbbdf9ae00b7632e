"""`relist log`. Imports what takes long only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, Typer, echo

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.data.log.limits import ListLimits

app = Typer(help="Build, check and prepare canonical logs.", no_args_is_help=True)

OutOption = Annotated[Path, Option(help="Folder of the log; replaced whole.")]
SeedOption = Annotated[int | None, Option(help="Instead of the configuration's.")]
WheelOption = Annotated[Path | None, Option(help="Wheel of the data set, where it is on disk.")]
MaxCandidatesOption = Annotated[int | None, Option(min=1, help="Default: the service's.")]
MaxShownOption = Annotated[int | None, Option(min=1, help="Default: the service's.")]
LogArgument = Annotated[Path, Argument(help="Folder of the canonical log.")]


@app.command("movielens")
def movielens(
    out: OutOption,
    config: Annotated[Path | None, Option(help="TOML file, or the preset movielens.")] = None,
    seed: SeedOption = None,
    wheel: WheelOption = None,
) -> None:
    """Write the log of ML-100K rating sessions: real feedback, every label known."""
    from model.data.log_commands import AdapterOptions, build_movielens_log

    options = AdapterOptions(out=out, config=config, wheel=wheel, overrides={"seed": seed})
    _run(lambda: build_movielens_log(options))


@app.command("click-world")
def click_world(
    out: OutOption,
    config: Annotated[
        Path | None, Option(help="TOML file, or a preset: click_world_4of12, cascade_world_4of12..")
    ] = None,
    form: Annotated[
        str | None, Option(help="Response model with its defaults, instead of the configured.")
    ] = None,
    lists: Annotated[int | None, Option(help="Training lists, instead of the configured.")] = None,
    seed: SeedOption = None,
    wheel: WheelOption = None,
) -> None:
    """Write a log with simulated clicks, whose true value is known."""
    from model.data.log_commands import AdapterOptions, build_click_world_log

    overrides = {"form": form, "lists": lists, "seed": seed}
    options = AdapterOptions(out=out, config=config, wheel=wheel, overrides=overrides)
    _run(lambda: build_click_world_log(options))


def _print_datasets(wanted: bool) -> None:
    """Print the known data sets and stop."""
    if wanted:
        from model.data.adapters.dataset_list import list_datasets

        echo(list_datasets())
        raise Exit


@app.command("convert")
def convert(
    dataset: Annotated[str, Argument(help="Name of the data set: see --list.")],
    source: Annotated[Path, Argument(help="Folder of your copy of the data set.")],
    log_dir: Annotated[Path, Argument(help="Folder of the log; replaced whole.")],
    max_requests: Annotated[
        int | None, Option(min=1, help="Keep a sample of whole users with at most this many.")
    ] = None,
    seed: Annotated[int, Option(help="Of the sample and of shuffled orders.")] = 0,
    max_candidates: MaxCandidatesOption = None,
    max_shown: MaxShownOption = None,
    _list: Annotated[
        bool,
        Option("--list", callback=_print_datasets, is_eager=True, help="Print the data sets."),
    ] = False,
) -> None:
    """Convert a public data set that you have on disk into a canonical log."""
    from model.data.adapters.dataset_list import convert_dataset
    from model.data.adapters.log_builder import BuilderOptions

    limits = _list_limits(max_candidates, max_shown)
    options = BuilderOptions(limits=limits, max_requests=max_requests, seed=seed)
    _run(lambda: convert_dataset(dataset, source, log_dir, options))


@app.command("check")
def check(
    log: LogArgument,
    max_candidates: MaxCandidatesOption = None,
    max_shown: MaxShownOption = None,
) -> None:
    """Check a canonical log and name the first row that breaks a rule."""
    from model.data.log_commands import check_log

    limits = _list_limits(max_candidates, max_shown)
    _run(lambda: check_log(log, limits))


@app.command("prepare")
def prepare(
    log: LogArgument,
    sessions: Annotated[
        int | None, Option(min=0, help="Past lists that a row sees; default: 10.")
    ] = None,
    cache: Annotated[Path | None, Option(help="Folder that keeps prepared logs.")] = None,
) -> None:
    """Encode a canonical log ahead of training."""
    from model.data.log_commands import prepare_log
    from model.data.tables.table_builder import DEFAULT_HISTORY_LENGTH

    length = DEFAULT_HISTORY_LENGTH if sessions is None else sessions
    _run(lambda: prepare_log(log, length, cache))


def _list_limits(max_candidates: int | None, max_shown: int | None) -> ListLimits:
    """The default limits, with those that are not None replaced."""
    from model.data.log.limits import ListLimits

    asked = {"max_candidates": max_candidates, "max_shown": max_shown}
    return ListLimits(**{name: value for name, value in asked.items() if value is not None})


def _run(work: Callable[[], str]) -> None:
    """Print the result; exit status 2 with one line that says what is wrong."""
    from model.config.toml_reader import ConfigError
    from model.contract.errors import ContractError
    from model.data.errors import DataError

    try:
        echo(work())
    except (ConfigError, DataError, ContractError) as error:
        echo(f"relist log: {error}", err=True)
        raise Exit(2) from error
    except OSError as error:
        echo(f"relist log: {error.filename or ''}: {error.strerror}", err=True)
        raise Exit(2) from error
