"""Train any learned method by the shared loop: same epochs, patience, batch and step for all.

The settings are the evaluator's own (`EvaluatorTraining`), so nobody is tuned more than ours.
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
from model.checkpoint import BEST, read_state, write_state
from model.config import EvaluatorTraining
from model.data.batches import Gatherer
from model.data.log_tables import LogTables
from model.data.split import TRAIN, VALIDATION
from model.loop import Numbers, fit, told
from model.weight_average import averaged, follow

Net = TypeVar("Net", bound=LearnedRanker)
_SAME_DRAWS = 0  # validation draws the same noise every epoch, so that epochs compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How and where a method is trained.

    training: epochs, patience, step size, seed.
    folder: receives best.pt, last.pt and curves.
    depends_on: names what else the result depends on (say, the evaluator that teaches it).
    """

    training: EvaluatorTraining
    folder: Path
    device: str = "cpu"
    depends_on: str = ""


class BaselineTask:
    """One learned method as a task of the loop."""

    watch = "loss"

    def __init__(self, title: str, net: LearnedRanker, run: Run, gatherer: Gatherer) -> None:
        self.title, self.net, self.gatherer = title, net, gatherer
        self.training, self.folder = run.training, run.folder
        training = run.training
        self.rng = torch.Generator().manual_seed(training.seed)
        self._train = torch.from_numpy(gatherer.tables.rows_of(TRAIN))
        tables = [p for name, p in net.named_parameters() if name.endswith("embedding.table")]
        rest = [p for name, p in net.named_parameters() if not name.endswith("embedding.table")]
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            [
                {"params": tables, "weight_decay": training.table_decay(len(self._train))},
                {"params": rest, "weight_decay": training.weight_decay},
            ],
            lr=training.lr,
        )
        self._validation = torch.from_numpy(gatherer.tables.rows_of(VALIDATION))

    def train_rows(self) -> Tensor:
        """Rows of the training part."""
        return self._train

    def batch_size(self) -> int:
        """As the evaluator's: by the size of the log."""
        return self.training.batch_size(len(self._train))

    def step(self, rows: Tensor, done: float) -> Numbers:
        """One step of Adam on the method's own loss."""
        batch = self.gatherer.gather(
            rows,
            prefix_share=self.training.prefix_share,
            unknown_share=self.training.unknown_share,
            rng=self.rng,
        )
        loss = self.net.loss(batch, self.rng)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.training.average:
            follow(self.optimizer, self.training.average)
        return {"loss": loss.item()}

    def validate(self) -> Numbers:
        """Mean validation loss over later lists, of the averaged weights."""
        with averaged(self.optimizer):
            return {"loss": self._later_loss()}

    def _later_loss(self) -> float:
        rng = torch.Generator().manual_seed(_SAME_DRAWS)
        total, size = 0.0, self.training.max_batch
        for at in range(0, len(self._validation), size):
            batch = self.gatherer.gather(self._validation[at : at + size])
            total += self.net.validation_loss(batch, rng).item() * len(batch.index)
        return total / max(1, len(self._validation))

    def save_best(self, numbers: Numbers) -> None:
        """Write best.pt, with the averaged weights."""
        with averaged(self.optimizer):
            write_state(self.folder / BEST, {"net": self.net.state_dict()})


def fit_baseline(name: str, make: Callable[[], Net], tables: LogTables, run: Run) -> Net:
    """Train a method and return it with the weights of its best epoch; a finished run is reused.

    Args:
        name: of the method; stands in progress and curves.
        make: builds the net; its initial weights follow from the seed of the training.
        tables: of the log.
        run: how and where.
    """
    training = run.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)  # only the initial weights
        net = make().to(run.device)
    task = BaselineTask(name, net, run, Gatherer(tables, run.device))
    shapes = [(key, tuple(value.shape)) for key, value in net.state_dict().items()]
    built = hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]
    identity = f"{name} {tables.fingerprint} {told(training)} {built} {run.depends_on}"
    fit(task, run.folder, epochs=training.epochs, patience=training.patience, identity=identity)
    net.load_state_dict(read_state(run.folder / BEST)["net"])
    return net.eval().requires_grad_(False)
