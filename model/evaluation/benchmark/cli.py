"""Train every method on the same logs and write the comparison: `relist benchmark`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from model.baselines.registry import BASELINE_METHODS
from model.config.pipeline_config import PipelineConfig
from model.config.toml_reader import ConfigError
from model.contract.errors import ContractError
from model.data.errors import DataError
from model.data.movielens.download import download_cache_dir, fetch_wheel
from model.evaluation.benchmark.benchmark_plan import BenchmarkPlan
from model.evaluation.benchmark.benchmark_report import write_benchmark_report
from model.evaluation.benchmark.benchmark_run import EvaluatorTooWeak, run_benchmark
from model.evaluation.benchmark.benchmark_scenario import EXPERIMENTS, Scenario
from model.evaluation.benchmark.job_cache import JobCache
from model.evaluation.benchmark.job_scheduler import JobFailed
from model.evaluation.benchmark.scenario_presets import (
    FULL_SIZE,
    QUICK_SIZE,
    BenchmarkSize,
    custom_log_scenario,
    public_scenarios,
)

REPORT_DIR = Path("docs/benchmarks")
WORK_DIR = Path("runs/benchmark")


def main(argv: list[str] | None = None) -> int:
    """Console command."""
    given = _parser().parse_args(argv)
    size = QUICK_SIZE if given.quick else FULL_SIZE
    try:
        plans = [
            BenchmarkPlan(_with_selected_parts(problem, given))
            for problem in _selected_scenarios(given, size)
        ]
        store = JobCache(given.work / "cache")
        run_benchmark(plans, store, given.processes)
        command = "relist benchmark " + " ".join(sys.argv[1:] if argv is None else argv)
        page = write_benchmark_report(given.out, plans, store, command.strip())
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
    parser = argparse.ArgumentParser(prog="relist benchmark", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=REPORT_DIR, help=f"page and figures ({REPORT_DIR})"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=WORK_DIR,
        help=f"logs, nets and results; what has not changed is not computed again ({WORK_DIR})",
    )
    parser.add_argument("--quick", action="store_true", help="small logs, one seed: minutes")
    parser.add_argument("--log", type=Path, help="a canonical log of your own, instead of ours")
    parser.add_argument("--config", type=Path, help="TOML file of both nets, with --log")
    parser.add_argument("--scenario", action="append", help="only this one of ours; repeatable")
    parser.add_argument(
        "--seeds", type=_comma_separated, help="instead of 0,1,2 (of 0, where it is quick)"
    )
    parser.add_argument(
        "--methods",
        type=_comma_separated,
        help=f"only these, with commas ({', '.join(BASELINE_METHODS)})",
    )
    parser.add_argument(
        "--experiments",
        type=_comma_separated,
        help=f"only these, with commas, or none ({', '.join(EXPERIMENTS)})",
    )
    parser.add_argument(
        "--processes",
        type=_positive_int,
        default=os.cpu_count() or 1,
        help="jobs at a time, one thread each (all cores)",
    )
    parser.add_argument("--wheel", type=Path, help="the data set's wheel, if it is on disk already")
    return parser


def _selected_scenarios(given: argparse.Namespace, size: BenchmarkSize) -> list[Scenario]:
    if given.log is not None:
        return [custom_log_scenario(given.log, PipelineConfig.from_toml(given.config), size)]
    if given.config is not None:
        raise ConfigError("--config goes with --log: our own logs bring theirs")
    asked = size.scenarios if given.scenario is None else given.scenario
    _require_known("--scenario", asked, size.scenarios)
    movielens = fetch_wheel(given.wheel, download_cache_dir(os.environ))
    return public_scenarios(given.work / "logs", movielens, size, asked)


def _with_selected_parts(scenario: Scenario, given: argparse.Namespace) -> Scenario:
    """Only the methods and experiments that were asked for."""
    methods, experiments = scenario.methods, scenario.experiments
    if given.methods is not None:
        _require_known("--methods", given.methods, BASELINE_METHODS)
        methods = tuple(name for name in methods if name in given.methods)
    if given.experiments is not None:
        _require_known("--experiments", given.experiments, (*EXPERIMENTS, "none"))
        experiments = tuple(name for name in experiments if name in given.experiments)
    seeds = (
        scenario.seeds if given.seeds is None else _parsed_seeds(given.seeds)[: len(scenario.seeds)]
    )
    return replace(scenario, methods=methods, experiments=experiments, seeds=seeds)


def _parsed_seeds(seeds: Sequence[str]) -> tuple[int, ...]:
    if not seeds or not all(seed.isdecimal() for seed in seeds):
        raise ConfigError(f"--seeds {','.join(seeds)}: is no list of whole numbers, like 0,1,2")
    return tuple(int(seed) for seed in seeds)


def _require_known(option: str, asked: Sequence[str], known: Iterable[str]) -> None:
    unknown = [name for name in asked if name not in set(known)]
    if unknown:
        raise ConfigError(f"{option} {unknown[0]}: is none of {', '.join(known)}")


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: is no whole number above 0")
    return int(text)


def _comma_separated(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    sys.exit(main())
