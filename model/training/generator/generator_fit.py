"""Train one generator and choose its noise scale. Writes no serving bundle."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from model.checkpoint import (
    BEST_FILE,
    Checkpoint,
    read_checkpoint,
    resolve_min_relative_gain,
    write_checkpoint,
)
from model.config.pipeline_config import PipelineConfig
from model.data.tables.log_tables import LogTables
from model.training.early_stopping import EarlyStopping
from model.training.generator.generator_task import GeneratorTrainingTask
from model.training.generator.policy_validation import served_gain_by_noise_scale
from model.training.trainer import EpochMetrics, run_settings, run_training

VALUE_RATIO_WINDOW = 3  # epochs that smooth the value ratio for early stopping
MIN_VALUE_RATIO_IMPROVEMENT = 0.001  # a smaller gain of the smoothed ratio does not count
NOISE_SCALE_GRID = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)


def fit_generator(
    config: PipelineConfig,
    tables: LogTables,
    evaluator_checkpoint: Checkpoint,
    folder: Path,
    device: str = "cpu",
    *,
    restart: bool = False,
) -> EpochMetrics:
    """Train against a frozen evaluator and write best.pt into the folder.

    Args:
        config: of the run; its evaluator is replaced by the one of the checkpoint.
        tables: of the log.
        evaluator_checkpoint: the trained evaluator.
        folder: receives best.pt, last.pt, curves and epochs.jsonl; a finished run is not repeated.
        device: cpu or cuda.
        restart: discard a run with other settings in the folder.

    Returns:
        Validation metrics of the best epoch, and `noise_scale`.
    """
    least_gain = resolve_min_relative_gain(config.serving, evaluator_checkpoint)
    config = dataclasses.replace(
        config,
        evaluator=evaluator_checkpoint.config.evaluator,
        serving=dataclasses.replace(config.serving, min_relative_gain=least_gain),
    )
    task = GeneratorTrainingTask(
        config, tables, evaluator_checkpoint.load_evaluator(), folder, device
    )
    training = config.train_generator
    settings = {
        "log": tables.fingerprint,
        **run_settings("generator", config.generator),
        **run_settings("train_generator", training),
        **run_settings("objective", config.objective),
        "evaluator": str(evaluator_checkpoint.metadata["validation"]),
    }
    if task.num_epochs() != training.epochs:
        sys.stderr.write(
            f"generator: {task.num_epochs()} epochs instead of train_generator.epochs="
            f"{training.epochs}, because train_generator.min_steps={training.min_steps}\n"
        )
    best = run_training(
        task,
        folder,
        epochs=task.num_epochs(),
        stopping=value_ratio_stopping(training.patience),
        settings=settings,
        restart=restart,
    )
    trained = read_checkpoint(folder)
    scale = _choose_noise_scale(task, trained, config)
    metadata = {
        **trained.metadata,
        "noise_scale": scale,
        "evaluator": evaluator_checkpoint.metadata,
    }
    write_checkpoint(folder / BEST_FILE, dataclasses.replace(trained, metadata=metadata))
    return best | {"noise_scale": scale}


def value_ratio_stopping(patience: int) -> EarlyStopping:
    """Early stopping on the smoothed value ratio of the validation sample."""
    return EarlyStopping(
        metric="value_ratio",
        patience=patience,
        higher_is_better=True,
        window=VALUE_RATIO_WINDOW,
        min_improvement=MIN_VALUE_RATIO_IMPROVEMENT,
    )


def _choose_noise_scale(
    task: GeneratorTrainingTask, trained: Checkpoint, config: PipelineConfig
) -> float:
    """The noise scale with the highest served gain on the validation sample."""
    task.net.load_state_dict(trained.weights)
    task.net.eval()
    scorer = task.scorer_for_rows(task.validation_sample())
    options = dataclasses.replace(task.editing_options(), num_lists=config.serving.num_lists)
    gains = served_gain_by_noise_scale(task.net, scorer, options, NOISE_SCALE_GRID, config)
    best = max(gains, key=lambda scale: gains[scale])
    table = ", ".join(f"{scale:g}: {gain:.4f}" for scale, gain in gains.items())
    sys.stderr.write(f"generator: noise scale {best:g} (served gain by scale: {table})\n")
    return best
