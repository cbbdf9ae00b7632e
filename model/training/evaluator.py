"""Train the evaluator on a canonical log: `relist train evaluator`.

The labels are the feedback to shown lists. Validation is later in time than training.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint import (
    BEST_FILE,
    EXPLORED_SHARE,
    MIN_RELATIVE_GAIN,
    Checkpoint,
    write_checkpoint,
)
from model.config.pipeline_config import EvaluatorTrainingConfig, PipelineConfig
from model.data.simulation.ground_truth import load_click_world
from model.data.simulation.oracle_labels import with_oracle_clicks
from model.data.tables.batches import Batch, BatchLoader
from model.data.tables.split import TRAIN, VALIDATION, alternate_session_mask, first_user_half_mask
from model.data.tables.table_cache import LogTables, load_log_tables
from model.nets.blocks.layers import gather_lists
from model.nets.build import build_evaluator
from model.nets.field_layout import FieldLayout
from model.nets.request_tensors import restrict_to_shown
from model.training.auxiliary_losses import EvaluatorWithAuxiliaryLosses
from model.training.calibration import calibrate_checkpoint, shown_list_metrics
from model.training.early_stopping import EarlyStopping
from model.training.ema import ema_weights, update_ema
from model.training.gain_threshold import LogSupport
from model.training.losses import feedback_loss
from model.training.member_selection import select_members
from model.training.trainer import (
    EpochMetrics,
    run_settings,
    run_training,
)


class EvaluatorTrainingTask:
    """The evaluator as a task of the training loop."""

    title = "evaluator"
    monitor = "logloss"
    monitor_unit = "nats per slot"
    higher_is_better = False

    def __init__(
        self, config: PipelineConfig, tables: LogTables, device: str, folder: Path
    ) -> None:
        self.config, self.tables, self.folder = config, tables, folder
        training = config.train_evaluator
        self.rng = torch.Generator().manual_seed(training.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)  # seeds only the initial weights
            fields = FieldLayout.from_schema(tables.schema)
            net = build_evaluator(config.evaluator, fields, tables.slots).to(device)
        self.net = EvaluatorWithAuxiliaryLosses(net, training).to(device)
        rows = _training_rows(tables, training)
        self._train = torch.from_numpy(rows)
        self.log_support = LogSupport.of_rows(tables, rows)
        self.optimizer: torch.optim.Optimizer = _build_optimizer(
            self.net, training, len(self._train)
        )
        self.batch_loader = BatchLoader(tables, device)
        self._weights: Tensor | None = None
        if training.bootstrap:
            self._weights = bayesian_bootstrap_weights(net.members, len(tables.part), training.seed)
            self._weights = self._weights.to(device)
        self._validation = torch.from_numpy(tables.part_rows(VALIDATION))

    def train_rows(self) -> Tensor:
        """Rows of the training part."""
        return self._train

    def batch_size(self) -> int:
        """Lists per step, by the size of the log."""
        return self.config.train_evaluator.batch_size(len(self._train))

    def train_step(self, rows: Tensor, progress: float) -> EpochMetrics:
        """One step of AdamW on the loss of docs/explanation/method.md#published-evaluator."""
        training = self.config.train_evaluator
        batch = self.batch_loader.gather(
            rows,
            prefix_share=training.prefix_share,
            unknown_share=training.unknown_share,
            rng=self.rng,
        )
        loss = self._shown_list_loss(batch)
        self.optimizer.zero_grad()
        (loss + self.net.candidate_loss(batch.request)).backward()
        self.optimizer.step()
        if training.ema_decay:
            update_ema(self.optimizer, training.ema_decay)
        return {"loss": loss.item() / self.net.evaluator.members}

    def _shown_list_loss(self, batch: Batch) -> Tensor:
        """Feedback loss of the shown lists, plus the penalty on constant slot effects."""
        net, slot_valid = self.net.evaluator, batch.request.slot_valid
        request, lists = restrict_to_shown(batch.request, batch.shown)
        encoded = net.encode(request)
        shown = gather_lists(encoded.candidates, lists)
        net.observe_shown(shown, slot_valid)
        p_click, p_conversion = net.score(encoded, shown, slot_valid)
        loss = feedback_loss(
            (p_click.squeeze(2), p_conversion.squeeze(2)),
            batch.clicks,
            batch.conversions,
            (slot_valid, batch.conversion_known),
            None if self._weights is None else self._weights[:, batch.rows],
        )
        return loss + self.net.slot_bias_loss(encoded, shown, slot_valid)

    def validate(self) -> EpochMetrics:
        """AUC, GAUC, log loss (nats per slot) and ECE on the validation part, with EMA weights."""
        with ema_weights(self.optimizer):
            return shown_list_metrics(self.net, self.batch_loader, self._validation)

    def save_best_checkpoint(self, metrics: EpochMetrics) -> None:
        """Write best.pt with the EMA weights."""
        with ema_weights(self.optimizer):
            self._write(metrics)

    def select_members(self) -> None:
        """Drop the members of best.pt whose click model does not fit the validation part."""
        weights = select_members(self.folder / BEST_FILE, self.batch_loader, self._validation)
        if weights:
            shares = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
            sys.stderr.write(f"evaluator: weights of click models on later lists: {shares}\n")

    def calibrate_best_checkpoint(self) -> EpochMetrics:
        """Temperature scaling of best.pt on the validation part; returns its metrics."""
        return calibrate_checkpoint(self.folder / BEST_FILE, self.batch_loader, self._validation)

    def _write(self, numbers: EpochMetrics) -> None:
        tables = self.tables
        counts = tables.shown_count[tables.part == TRAIN]
        write_checkpoint(
            self.folder / BEST_FILE,
            Checkpoint(
                kind="evaluator",
                config=self.config,
                schema=tables.schema,
                slots=tables.slots,
                history_length=tables.history_length,
                max_candidates=tables.max_candidates,
                list_sizes=sorted({int(n) for n in np.unique(counts)}),
                weights=self.net.evaluator.state_dict(),
                metadata={
                    "validation": numbers,
                    "fingerprint": tables.fingerprint,
                    "converts": tables.has_conversions,
                    EXPLORED_SHARE: self.log_support.explored_share,
                    MIN_RELATIVE_GAIN: self.log_support.min_relative_gain,
                },
            ),
        )


def bayesian_bootstrap_weights(members: int, rows: int, seed: int) -> Tensor:
    """Weights (E, rows) of each list for each member: Bayesian bootstrap, Exp(1).

    Members then differ as if trained on resampled logs, so their spread estimates the uncertainty
    from the log. Different initial weights alone do not.
    """
    rng = torch.Generator().manual_seed(seed)
    return torch.empty(members, rows).exponential_(generator=rng)


def _training_rows(tables: LogTables, training: EvaluatorTrainingConfig) -> NDArray[np.int64]:
    """Training rows of the configured users and lists, (n,) int64."""
    rows = tables.part_rows(TRAIN)
    if training.users != "all":
        first = first_user_half_mask(tables.users.ids)[tables.user_index[rows]]
        rows = rows[first == (training.users == "first_half")]
    if training.lists != "all":
        even = alternate_session_mask(tables.user_index[rows], tables.timestamp[rows])
        rows = rows[even == (training.lists == "even")]
    return rows


def _build_optimizer(
    trainable: EvaluatorWithAuxiliaryLosses, training: EvaluatorTrainingConfig, rows: int
) -> torch.optim.Optimizer:
    """AdamW with parameter groups of their own decay and learning rate."""
    net = trainable.evaluator
    embeddings, biases = net.embedding_params(), net.bias_params()
    residuals = net.pair_residual_params()
    structure = [*net.structural_params(), *trainable.auxiliary_params()]
    grouped = {id(p) for p in (*embeddings, *biases, *structure, *residuals)}
    rest = [p for p in trainable.parameters() if id(p) not in grouped]
    structural = {"lr": training.structural_lr}
    groups: list[dict[str, Any]] = [
        {"params": embeddings, "weight_decay": training.effective_embedding_decay(rows)},
        {"params": rest, "weight_decay": training.weight_decay},
        {"params": biases, "weight_decay": training.bias_decay, **structural},
        {"params": structure, "weight_decay": 0.0, **structural},
        {"params": residuals, "weight_decay": training.pair_residual_decay, **structural},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=training.lr)


def train_evaluator(
    config: PipelineConfig,
    log_dir: Path,
    folder: Path,
    device: str = "cpu",
    *,
    restart: bool = False,
) -> EpochMetrics:
    """Train on the log and write best.pt into the folder.

    Args:
        config: configuration of the run.
        log_dir: folder of the canonical log.
        folder: receives best.pt, last.pt, curves and epochs.jsonl.
        device: cpu or cuda.
        restart: discard a run with other settings in the folder.

    Returns:
        Validation metrics of the best epoch, after temperature scaling where it is configured.
    """
    tables = load_log_tables(log_dir)
    training = config.train_evaluator
    if training.labels == "world":
        tables = with_oracle_clicks(tables, load_click_world(log_dir))
    task = EvaluatorTrainingTask(config, tables, device, folder)
    settings = {
        "log": tables.fingerprint,
        **run_settings("evaluator", config.evaluator),
        **run_settings("train_evaluator", training),
    }
    stopping = EarlyStopping(metric=EvaluatorTrainingTask.monitor, patience=training.patience)
    best = run_training(
        task,
        folder,
        epochs=training.epochs,
        stopping=stopping,
        settings=settings,
        restart=restart,
    )
    if training.member_selection:
        task.select_members()
    support = task.log_support.describe(config.serving.min_relative_gain)
    sys.stderr.write(f"evaluator: {support}\n")
    return task.calibrate_best_checkpoint() if training.temperature_scaling else best


def tuning_hint(best: int, epochs: int) -> str | None:
    """Advice on settings from the number of the best epoch (from 1); None if there is none.

    A best last epoch means that more epochs may be better. A best first epoch means overfitting
    from the start (docs/explanation/method.md#published-evaluator).
    """
    if best == epochs:
        return f"the last of {epochs} epochs was the best one: more epochs may be better (epochs)"
    if best == 1:
        return (
            f"the first of {epochs} epochs was the best one: the net overfits this log; stronger "
            "decay (embedding_decay, weight_decay) or larger batches (min_steps_per_epoch) may "
            "be better"
        )
    return None
