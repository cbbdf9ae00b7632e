"""Measure a trained pair on the later-in-time part of its log: `relist evaluate`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model.checkpoint import CheckpointError, read_checkpoint
from model.config.toml_reader import ConfigError
from model.data.errors import DataError
from model.data.simulation.ground_truth import WORLD_NPZ
from model.data.tables.table_cache import load_log_tables
from model.evaluation.logged_lists import evaluate_on_logged_lists
from model.evaluation.single_run.run_metrics import EvaluationOptions, evaluate_run, evaluated_rows
from model.evaluation.single_run.run_report import write_run_report


def main(argv: list[str] | None = None) -> int:
    """Console command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="folder of the canonical log")
    parser.add_argument("--evaluator", type=Path, required=True, help="folder of its checkpoint")
    parser.add_argument("--generator", type=Path, required=True, help="folder of its checkpoint")
    parser.add_argument("--requests", type=int, default=1000, help="test requests (default: 1000)")
    parser.add_argument(
        "--restarts",
        type=int,
        default=0,
        help="climbs that look for the best list in spaces too large to enumerate; slow "
        "(default: 0, no value ratio there)",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for page and numbers")
    given = parser.parse_args(argv)
    effort = EvaluationOptions(max_requests=given.requests, climb_restarts=given.climb_restarts)
    try:
        tables = load_log_tables(given.log)
        evaluator, generator = read_checkpoint(given.evaluator), read_checkpoint(given.generator)
        logged = evaluate_on_logged_lists(evaluator, tables)
        found = evaluate_run(generator, evaluator, tables, given.log, effort)
    except (ConfigError, DataError, CheckpointError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    facts = {
        "log": tables.info.name,
        "simulated": (given.log / WORLD_NPZ).exists(),
        "N": tables.max_candidates,
        "M": tables.slots,
        "requests": len(evaluated_rows(tables, effort)),
        "evaluator": str(evaluator.config.evaluator),
        "evaluator's seed": evaluator.config.train_evaluator.seed,
        "generator's seed": generator.config.train_generator.seed,
        "noise scale": generator.metadata["noise_scale"],
    }
    page = write_run_report(given.out, facts, logged, found)
    sys.stdout.write(page.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
