"""Trains learned baselines by the shared loop with the settings of the evaluator.

All methods share epochs, patience, batch size and learning rate (`EvaluatorTrainingConfig`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from model.baselines.ranker import LearnedRanker
from model.checkpoint import BEST_FILE, read_state, write_state
from model.config.pipeline_config import EvaluatorTrainingConfig
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TRAIN, VALIDATION
from model.training.ema import ema_weights, update_ema
from model.training.trainer import EpochMetrics, run_training, settings_text

Net = TypeVar("Net", bound=LearnedRanker)
_VALIDATION_SEED = 0  # same noise in every epoch, so that losses are comparable


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRunOptions:
    """Training settings and output folder of a method.

    Attributes:
        training: epochs, patience, learning rate, seed.
        folder: receives `best.pt`, `last.pt` and `epochs.jsonl`.
        device: torch device.
        extra_identity: further inputs that the result depends on, such as the evaluator.
    """

    training: EvaluatorTrainingConfig
    folder: Path
    device: str = "cpu"
    extra_identity: str = ""


class BaselineTask:
    """Task of the training loop that trains one learned method."""

    monitor = "loss"

    def __init__(
        self, title: str, net: LearnedRanker, options: BaselineRunOptions, loader: BatchLoader
    ) -> None:
        self.title, self.net, self.loader = title, net, loader
        self.training, self.folder = options.training, options.folder
        training = options.training
        self.rng = torch.Generator().manual_seed(training.seed)
        self._train = torch.from_numpy(loader.tables.part_rows(TRAIN))
        tables = [p for name, p in net.named_parameters() if name.endswith("embedding.weight")]
        rest = [p for name, p in net.named_parameters() if not name.endswith("embedding.weight")]
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            [
                {
                    "params": tables,
                    "weight_decay": training.effective_embedding_decay(len(self._train)),
                },
                {"params": rest, "weight_decay": training.weight_decay},
            ],
            lr=training.lr,
        )
        self._validation = torch.from_numpy(loader.tables.part_rows(VALIDATION))

    def train_rows(self) -> Tensor:
        """Rows of the training part."""
        return self._train

    def batch_size(self) -> int:
        """Batch size for the number of training lists."""
        return self.training.batch_size(len(self._train))

    def train_step(self, rows: Tensor, progress: float) -> EpochMetrics:
        """One AdamW step on the loss of the method."""
        batch = self.loader.gather(
            rows,
            prefix_share=self.training.prefix_share,
            unknown_share=self.training.unknown_share,
            rng=self.rng,
        )
        loss = self.net.loss(batch, self.rng)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.training.ema_decay:
            update_ema(self.optimizer, self.training.ema_decay)
        return {"loss": loss.item()}

    def validate(self) -> EpochMetrics:
        """Mean loss over the validation part with the averaged weights."""
        with ema_weights(self.optimizer):
            return {"loss": self._validation_loss()}

    def _validation_loss(self) -> float:
        rng = torch.Generator().manual_seed(_VALIDATION_SEED)
        total, size = 0.0, self.training.max_batch_size
        for start in range(0, len(self._validation), size):
            batch = self.loader.gather(self._validation[start : start + size])
            total += self.net.validation_loss(batch, rng).item() * len(batch.rows)
        return total / max(1, len(self._validation))

    def save_best_checkpoint(self, numbers: EpochMetrics) -> None:
        """Write `best.pt` with the averaged weights."""
        with ema_weights(self.optimizer):
            write_state(self.folder / BEST_FILE, {"net": self.net.state_dict()})


def fit_baseline(
    name: str, build_net: Callable[[], Net], tables: LogTables, options: BaselineRunOptions
) -> Net:
    """Train a method and return it with the weights of its best epoch.

    A finished run in the folder with the same identity is read instead.

    Args:
        name: name of the method in progress messages and identity.
        build_net: builds the network; the training seed determines its initial weights.
        tables: tables of the log.
        options: training settings and folder.
    """
    training = options.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)  # only the initial weights
        net = build_net().to(options.device)
    task = BaselineTask(name, net, options, BatchLoader(tables, options.device))
    shapes = [(key, tuple(value.shape)) for key, value in net.state_dict().items()]
    shape_digest = hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]
    identity = (
        f"{name} {tables.fingerprint} {settings_text(training)} {shape_digest} "
        f"{options.extra_identity}"
    )
    run_training(
        task, options.folder, epochs=training.epochs, patience=training.patience, run_id=identity
    )
    net.load_state_dict(read_state(options.folder / BEST_FILE)["net"])
    return net.eval().requires_grad_(False)
