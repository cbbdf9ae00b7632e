"""`relist benchmark`. Imports what needs torch only when it runs."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Exit, Option, echo

if TYPE_CHECKING:
    from collections.abc import Callable

REPORT_DIR = Path("docs/benchmarks")
WORK_DIR = Path("runs/benchmark")


def benchmark(  # noqa: PLR0913  # one parameter for each option of the command
    out: Annotated[Path, Option(help="Folder of page and figures.")] = REPORT_DIR,
    work: Annotated[
        Path, Option(help="Folder of logs, nets and results; unchanged parts are not run again.")
    ] = WORK_DIR,
    *,
    quick: Annotated[bool, Option("--quick", help="Small logs and one seed: minutes.")] = False,
    log: Annotated[
        Path | None, Option(help="Your canonical log, instead of the public scenarios.")
    ] = None,
    config: Annotated[
        Path | None, Option(help="TOML file of both nets, with --log or --worlds.")
    ] = None,
    scenario: Annotated[
        list[str] | None, Option(help="Only this public scenario; repeatable.")
    ] = None,
    seeds: Annotated[str | None, Option(help="Comma-separated; default 0,1,2 (quick: 0).")] = None,
    methods: Annotated[str | None, Option(help="Comma-separated methods; default all.")] = None,
    experiments: Annotated[
        str | None, Option(help="Comma-separated experiments, or none; default all.")
    ] = None,
    processes: Annotated[
        int | None, Option(min=1, help="Jobs at a time, one thread each; default: all cores.")
    ] = None,
    wheel: Annotated[
        Path | None, Option(help="Wheel of the data set, where it is on disk already.")
    ] = None,
    worlds: Annotated[
        str | None,
        Option(
            help="Train and measure --config in simulated worlds instead: comma-separated names "
            "of the family, design, report or all. Writes worlds.md and worlds.jsonl."
        ),
    ] = None,
    lists: Annotated[
        int | None, Option(min=1, help="Training lists of each world, with --worlds.")
    ] = None,
    requests: Annotated[int, Option(min=1, help="Test requests, with --worlds.")] = 1000,
    describe: Annotated[
        bool, Option("--describe", help="Only rates and headroom of the --worlds.")
    ] = False,
) -> None:
    """Train every method on the same logs and write a page that compares them.

    Exit status: 0 when written, 1 when a job failed, 2 for input that cannot be used, 130 when
    stopped; the same command then goes on.
    """
    from model.evaluation.benchmark.benchmark_options import (
        BenchmarkOptions,
        parse_seeds,
        run_benchmark_command,
    )
    from model.evaluation.worlds.worlds_command import WorldsOptions, describe_worlds, run_worlds

    command, cores = f"relist {shlex.join(sys.argv[1:])}", processes or os.cpu_count() or 1
    chosen_seeds = _comma_separated(seeds)
    if worlds is not None or describe:

        def measure_worlds() -> Path:
            options = WorldsOptions(
                out=out,
                work=work,
                worlds=_comma_separated(worlds or "all") or (),
                config=config,
                lists=lists,
                seeds=parse_seeds(chosen_seeds or ("0",)),
                requests=requests,
                baselines=_comma_separated(methods) or (),
                processes=cores,
                wheel=wheel,
                command=command,
            )
            return describe_worlds(options) if describe else run_worlds(options)

        _print_page(measure_worlds)
        return
    _print_page(
        lambda: run_benchmark_command(
            BenchmarkOptions(
                out=out,
                work=work,
                quick=quick,
                log=log,
                config=config,
                scenarios=scenario or None,
                seeds=chosen_seeds,
                methods=_comma_separated(methods),
                experiments=_comma_separated(experiments),
                processes=cores,
                wheel=wheel,
                command=command,
            )
        )
    )


def _print_page(work: Callable[[], Path]) -> None:
    """Print the path of the page; the exit statuses are those of the command."""
    from model.config.toml_reader import ConfigError
    from model.contract.errors import ContractError
    from model.data.errors import DataError
    from model.evaluation.benchmark.benchmark_run import EvaluatorTooWeak
    from model.evaluation.benchmark.job_scheduler import JobFailed

    try:
        page = work()
    except (ConfigError, DataError, ContractError) as error:
        echo(f"relist benchmark: {error}", err=True)
        raise Exit(2) from error
    except (EvaluatorTooWeak, JobFailed) as error:
        echo(f"relist benchmark: stopped: {error}", err=True)
        raise Exit(1) from error
    except KeyboardInterrupt as error:
        echo("\nstopped; run the same command to go on", err=True)
        raise Exit(130) from error
    echo(str(page), err=True)


def _comma_separated(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())
