"""Measure a trained pair on the later-in-time part of its log: `relist-measure`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from model.checkpoint import CheckpointError, read_checkpoint
from model.data.errors import DataError
from model.data.tables import load_tables
from model.data.worlds import WORLD
from model.offline_report.logged import evaluator_on_logged_lists
from model.offline_report.pair.measure import Effort, measure_pair, measured_requests
from model.offline_report.pair.page import write_report


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
    effort = Effort(requests=given.requests, restarts=given.restarts)
    try:
        tables = load_tables(given.log)
        evaluator, generator = read_checkpoint(given.evaluator), read_checkpoint(given.generator)
        logged = evaluator_on_logged_lists(evaluator, tables)
        found = measure_pair(generator, evaluator, tables, given.log, effort)
    except (DataError, CheckpointError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    facts = {
        "log": tables.info.name,
        "simulated": (given.log / WORLD).exists(),
        "N": tables.max_candidates,
        "M": tables.slots,
        "requests": len(measured_requests(tables, effort)),
        "evaluator": str(evaluator.config.evaluator),
        "evaluator's seed": evaluator.config.train_evaluator.seed,
        "generator's seed": generator.config.train_generator.seed,
        "noise scale": generator.facts["noise_scale"],
    }
    page = write_report(given.out, facts, logged, found)
    sys.stdout.write(page.read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
