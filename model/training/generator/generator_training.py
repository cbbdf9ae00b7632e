"""Train the generator against a frozen evaluator, as `relist train generator` does.

Writes best.pt and the serving bundle (what export and the service need from the log).
"""

from __future__ import annotations

from pathlib import Path

from model.checkpoint import CheckpointError, read_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.serving_bundle import write_serving_bundle
from model.data.tables.table_cache import load_log_tables
from model.training.generator.generator_fit import fit_generator
from model.training.trainer import EpochMetrics


def train_generator(
    config: PipelineConfig,
    log_dir: Path,
    evaluator_dir: Path,
    folder: Path,
    device: str = "cpu",
    *,
    restart: bool = False,
) -> EpochMetrics:
    """Train, choose the noise scale on validation, write checkpoint and serving bundle.

    Args:
        config: of the run; its evaluator is replaced by the trained one.
        log_dir: folder of the canonical log.
        evaluator_dir: folder of the evaluator's checkpoint.
        folder: receives checkpoint and serving bundle.
        device: cpu or cuda.
        restart: discard a run with other settings in the folder.

    Returns:
        Validation metrics of the best epoch, and `noise_scale`.
    """
    tables = load_log_tables(log_dir)
    trained = read_checkpoint(evaluator_dir)
    if trained.schema.hash != tables.schema.hash:
        raise CheckpointError(f"{evaluator_dir}: trained on another schema than {log_dir}")
    best = fit_generator(config, tables, trained, folder, device, restart=restart)
    write_serving_bundle(
        tables,
        log_dir,
        folder,
        edits=config.generator.edits,
        noise_scale=best["noise_scale"],
        seed=config.train_generator.seed,
    )
    return best
