"""Train every method on the same logs and write the comparison: `relist-report`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from model.baselines.registry import METHODS
from model.config import Config
from model.config_values import ConfigError
from model.contract.errors import ContractError
from model.data.download import cache_folder, wheel
from model.data.errors import DataError
from model.offline_report.comparison.jobs import Store
from model.offline_report.comparison.logs import FULL, QUICK, Size, own_problem, public_problems
from model.offline_report.comparison.plan import Plan
from model.offline_report.comparison.problems import EXPERIMENTS, Problem
from model.offline_report.comparison.results import EvaluatorTooWeak, run_plans
from model.offline_report.comparison.schedule import JobFailed
from model.offline_report.comparison.writing import write_report

PAGE = Path("model/report")
WORK = Path("runs/report")


def main(argv: list[str] | None = None) -> int:
    """Console command."""
    given = _parser().parse_args(argv)
    size = QUICK if given.quick else FULL
    try:
        plans = [Plan(_narrowed(problem, given)) for problem in _problems(given, size)]
        store = Store(given.work / "kept")
        run_plans(plans, store, given.processes)
        command = "relist-report " + " ".join(sys.argv[1:] if argv is None else argv)
        page = write_report(given.out, plans, store, command.strip())
    except (ConfigError, DataError, ContractError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except (EvaluatorTooWeak, JobFailed) as error:
        sys.stderr.write(f"stopped: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; run the same command to go on\n")
        return 130
    sys.stderr.write(f"{page}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="relist-report", description=__doc__)
    parser.add_argument("--out", type=Path, default=PAGE, help=f"page and figures ({PAGE})")
    parser.add_argument(
        "--work",
        type=Path,
        default=WORK,
        help=f"logs, nets and results; what has not changed is not computed again ({WORK})",
    )
    parser.add_argument("--quick", action="store_true", help="small logs, one seed: minutes")
    parser.add_argument("--log", type=Path, help="a canonical log of your own, instead of ours")
    parser.add_argument("--config", type=Path, help="TOML file of both nets, with --log")
    parser.add_argument("--problem", action="append", help="only this one of ours; repeatable")
    parser.add_argument("--seeds", type=_names, help="instead of 0,1,2 (of 0, where it is quick)")
    parser.add_argument(
        "--methods", type=_names, help=f"only these, with commas ({', '.join(METHODS)})"
    )
    parser.add_argument(
        "--experiments",
        type=_names,
        help=f"only these, with commas, or none ({', '.join(EXPERIMENTS)})",
    )
    parser.add_argument(
        "--processes",
        type=_at_least_one,
        default=os.cpu_count() or 1,
        help="jobs at a time, one thread each (all cores)",
    )
    parser.add_argument("--wheel", type=Path, help="the data set's wheel, if it is on disk already")
    return parser


def _problems(given: argparse.Namespace, size: Size) -> list[Problem]:
    if given.log is not None:
        return [own_problem(given.log, Config.read(given.config), size)]
    if given.config is not None:
        raise ConfigError("--config goes with --log: our own logs bring theirs")
    asked = size.problems if given.problem is None else given.problem
    _require_known("--problem", asked, size.problems)
    movielens = wheel(given.wheel, cache_folder(os.environ))
    return public_problems(given.work / "logs", movielens, size, asked)


def _narrowed(problem: Problem, given: argparse.Namespace) -> Problem:
    """Only the methods and experiments that were asked for."""
    methods, experiments = problem.methods, problem.experiments
    if given.methods is not None:
        _require_known("--methods", given.methods, METHODS)
        methods = tuple(name for name in methods if name in given.methods)
    if given.experiments is not None:
        _require_known("--experiments", given.experiments, (*EXPERIMENTS, "none"))
        experiments = tuple(name for name in experiments if name in given.experiments)
    seeds = problem.seeds if given.seeds is None else _numbers(given.seeds)[: len(problem.seeds)]
    return replace(problem, methods=methods, experiments=experiments, seeds=seeds)


def _numbers(seeds: Sequence[str]) -> tuple[int, ...]:
    if not seeds or not all(seed.isdecimal() for seed in seeds):
        raise ConfigError(f"--seeds {','.join(seeds)}: is no list of whole numbers, like 0,1,2")
    return tuple(int(seed) for seed in seeds)


def _require_known(option: str, asked: Sequence[str], known: Iterable[str]) -> None:
    unknown = [name for name in asked if name not in set(known)]
    if unknown:
        raise ConfigError(f"{option} {unknown[0]}: is none of {', '.join(known)}")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: is no whole number above 0")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    sys.exit(main())
