"""Measures a trained evaluator and generator on the later-in-time part of their log."""

from __future__ import annotations

from pathlib import Path

from model.checkpoint import EXPLORED_SHARE, read_checkpoint
from model.data.simulation.ground_truth import WORLD_NPZ
from model.data.tables.table_cache import load_log_tables
from model.evaluation.logged_lists import evaluate_on_logged_lists
from model.evaluation.single_run.run_metrics import EvaluationOptions, evaluate_run, evaluated_rows
from model.evaluation.single_run.run_report import write_run_report


def run_evaluation(
    *, log: Path, evaluator_dir: Path, generator_dir: Path, out: Path, options: EvaluationOptions
) -> Path:
    """Measure both nets on later requests of the log and write the page; returns its path.

    Raises DataError or CheckpointError for input that cannot be used.
    """
    tables = load_log_tables(log)
    evaluator, generator = read_checkpoint(evaluator_dir), read_checkpoint(generator_dir)
    logged_metrics = evaluate_on_logged_lists(evaluator, tables)
    run_metrics = evaluate_run(generator, evaluator, tables, log, options)
    facts = {
        "log": tables.info.name,
        "simulated": (log / WORLD_NPZ).exists(),
        "N": tables.max_candidates,
        "M": tables.slots,
        "requests": len(evaluated_rows(tables, options)),
        "evaluator": str(evaluator.config.evaluator),
        "evaluator's seed": evaluator.config.train_evaluator.seed,
        "generator's seed": generator.config.train_generator.seed,
        "lists out of upstream's order": evaluator.metadata.get(EXPLORED_SHARE, "unknown"),
        "least relative gain": generator.config.serving.known_min_relative_gain,
        "noise scale": generator.metadata["noise_scale"],
    }
    return write_run_report(out, facts, logged_metrics, run_metrics)
