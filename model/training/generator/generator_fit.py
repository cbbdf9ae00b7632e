"""Train one generator and choose its noise scale. Files for export are the command's: `cli.py`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from model.checkpoint import BEST_FILE, Checkpoint, read_checkpoint, write_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.tables.log_tables import LogTables
from model.training.generator.generator_task import GeneratorTrainingTask
from model.training.generator.policy_validation import served_gain_by_noise_scale
from model.training.trainer import EpochMetrics, run_training, settings_text

NOISE_SCALE_GRID = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def fit_generator(
    config: PipelineConfig,
    tables: LogTables,
    evaluator_checkpoint: Checkpoint,
    folder: Path,
    device: str = "cpu",
) -> EpochMetrics:
    """Train against a frozen evaluator, leave best.pt in the folder.

    Args:
        config: of the run; its evaluator is replaced by the one of `trained`.
        tables: of the log.
        taught: the evaluator's checkpoint.
        folder: receives best.pt, last.pt and curves; a finished run is only read.
        device: cpu or cuda.

    Returns:
        The best epoch's validation numbers, and `noise_scale`.
    """
    config = dataclasses.replace(config, evaluator=evaluator_checkpoint.config.evaluator)
    task = GeneratorTrainingTask(
        config, tables, evaluator_checkpoint.load_evaluator(), folder, device
    )
    training = config.train_generator
    settings = f"{settings_text(config.generator)} {settings_text(training)}"
    identity = f"{tables.fingerprint} {settings} {evaluator_checkpoint.metadata['validation']}"
    best = run_training(task, folder, epochs=task.num_epochs(), patience=None, run_id=identity)
    made = read_checkpoint(folder)
    task.net.load_state_dict(made.weights)
    task.net.eval()
    scorer = task.scorer_for_rows(task.validation_sample())
    how = dataclasses.replace(task.editing_options(), num_lists=config.serving.num_lists)
    tried = served_gain_by_noise_scale(task.net, scorer, how, NOISE_SCALE_GRID, config)
    scale = max(tried, key=lambda at: tried[at])
    shown = ", ".join(f"{at:g}: {gain:.4f}" for at, gain in tried.items())
    sys.stderr.write(f"generator: noise scale {scale:g} (served gain by scale: {shown})\n")
    facts = {**made.metadata, "noise_scale": scale, "evaluator": evaluator_checkpoint.metadata}
    write_checkpoint(folder / BEST_FILE, dataclasses.replace(made, metadata=facts))
    return best | {"noise_scale": scale}
