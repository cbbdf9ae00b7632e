"""Train the generator against a frozen evaluator: `relist-train-generator`.

Writes best.pt and the serving bundle (what export and the service need from the log).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from model.checkpoint import BEST_FILE, CheckpointError, read_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.config.toml_reader import ConfigError
from model.contract.errors import ContractError
from model.data.errors import DataError
from model.data.serving_bundle import write_serving_bundle
from model.data.tables.table_cache import load_log_tables
from model.training.generator.generator_fit import fit_generator
from model.training.trainer import EpochMetrics, TrainingInterrupted


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


def main(argv: list[str] | None = None) -> int:
    """Console command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="folder of the canonical log")
    parser.add_argument("--evaluator", type=Path, required=True, help="folder of its checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--config", type=Path, help="TOML file (default: built-in defaults)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument(
        "--restart", action="store_true", help="discard a run with other settings in the folder"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    given = parser.parse_args(argv)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        config = PipelineConfig.from_toml(given.config)
        best = train_generator(
            config,
            given.log,
            given.evaluator,
            given.out,
            given.device,
            restart=given.restart,
        )
    except (ConfigError, DataError, ContractError, CheckpointError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except TrainingInterrupted as stopped:
        sys.stderr.write(f"\n{stopped}\n")
        return 130
    shown = ", ".join(f"{k} {best[k]:.4f}" for k in ("gain", "value_ratio", "unchanged"))
    sys.stderr.write(f"generator: {given.out / BEST_FILE} (validation: {shown})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
