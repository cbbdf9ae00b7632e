"""Train the evaluator on a canonical log: `relist-train-evaluator`.

It learns what users did with lists that were shown; validation is later in time than training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.calibration import measure_shown, scale_checkpoint
from model.checkpoint import BEST, Checkpoint, CheckpointError, write_checkpoint
from model.config import Config, EvaluatorTraining
from model.config_values import ConfigError
from model.contract.errors import ContractError
from model.data.batches import Batch, Gatherer
from model.data.errors import DataError
from model.data.split import TRAIN, VALIDATION, every_other, in_first_half
from model.data.tables import LogTables, load_tables
from model.data.true_labels import with_true_clicks
from model.data.worlds import load_world
from model.lessons import Pupil
from model.loop import Numbers, Stopped, best_epoch, fit
from model.losses import feedback_loss
from model.nets.build import build_evaluator
from model.nets.inputs import only_shown
from model.nets.layers import take_lists
from model.nets.shape import Fields
from model.weight_average import averaged, follow


class EvaluatorTask:
    """The evaluator as a task of the loop."""

    title = "evaluator"
    watch = "logloss"

    def __init__(self, config: Config, tables: LogTables, device: str, folder: Path) -> None:
        self.config, self.tables, self.folder = config, tables, folder
        training = config.train_evaluator
        self.rng = torch.Generator().manual_seed(training.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)  # only the initial weights
            fields = Fields.of(tables.schema)
            net = build_evaluator(config.evaluator, fields, tables.slots).to(device)
        self.net = Pupil(net, training).to(device)
        self._train = torch.from_numpy(_rows_of(tables, training))
        self.optimizer: torch.optim.Optimizer = _optimizer(self.net, training, len(self._train))
        self.gatherer = Gatherer(tables, device)
        self._weights: Tensor | None = None
        if training.bootstrap:
            self._weights = bootstrap_weights(net.members, len(tables.part), training.seed)
            self._weights = self._weights.to(device)
        self._validation = torch.from_numpy(tables.rows_of(VALIDATION))

    def train_rows(self) -> Tensor:
        """Rows of the training part."""
        return self._train

    def batch_size(self) -> int:
        """By the size of the log."""
        return self.config.train_evaluator.batch_size(len(self._train))

    def step(self, rows: Tensor, done: float) -> Numbers:
        """One step of Adam on the loss of METHOD section 2."""
        training = self.config.train_evaluator
        batch = self.gatherer.gather(
            rows,
            prefix_share=training.prefix_share,
            unknown_share=training.unknown_share,
            rng=self.rng,
        )
        loss = self._feedback(batch)
        self.optimizer.zero_grad()
        (loss + self.net.upstream(batch.request)).backward()
        self.optimizer.step()
        if training.average:
            follow(self.optimizer, training.average)
        return {"loss": loss.item() / self.net.evaluator.members}

    def _feedback(self, batch: Batch) -> Tensor:
        """Loss of what users answered to the lists that were shown."""
        net, slot_valid = self.net.evaluator, batch.request.slot_valid
        request, lists = only_shown(batch.request, batch.shown)
        encoded = net.encode(request)
        shown = take_lists(encoded.candidates, lists)
        p_click, p_conversion = net.score(encoded, shown, slot_valid)
        loss = feedback_loss(
            (p_click.squeeze(2), p_conversion.squeeze(2)),
            batch.clicks,
            batch.conversions,
            (slot_valid, batch.conversion_known),
            None if self._weights is None else self._weights[:, batch.index],
        )
        return loss + self.net.evenness(encoded, shown, slot_valid)

    def validate(self) -> Numbers:
        """AUC, GAUC, LogLoss and calibration on the validation part, of the averaged weights."""
        with averaged(self.optimizer):
            return measure_shown(self.net, self.gatherer, self._validation)

    def save_best(self, numbers: Numbers) -> None:
        """Write best.pt, with the averaged weights."""
        with averaged(self.optimizer):
            self._write(numbers)

    def calibrate_best(self) -> Numbers:
        """Fit the best epoch's net to the validation part by one factor of its logits."""
        return scale_checkpoint(self.folder / BEST, self.gatherer, self._validation)

    def _write(self, numbers: Numbers) -> None:
        tables = self.tables
        counts = tables.shown_count[tables.part == TRAIN]
        write_checkpoint(
            self.folder / BEST,
            Checkpoint(
                kind="evaluator",
                config=self.config,
                schema=tables.schema,
                slots=tables.slots,
                sessions=tables.history,
                max_candidates=tables.max_candidates,
                list_sizes=sorted({int(n) for n in np.unique(counts)}),
                weights=self.net.evaluator.state_dict(),
                facts={
                    "validation": numbers,
                    "fingerprint": tables.fingerprint,
                    "converts": tables.converts,
                },
            ),
        )


def bootstrap_weights(members: int, rows: int, seed: int) -> Tensor:
    """(E, rows) of the Bayesian bootstrap, Exp(1): what a list counts for a member all through.

    Members then differ as if each had seen another log, so that their spread says how much of a
    gain hangs on single lists; by their start alone they share what the log got wrong.
    """
    rng = torch.Generator().manual_seed(seed)
    return torch.empty(members, rows).exponential_(generator=rng)


def _rows_of(tables: LogTables, training: EvaluatorTraining) -> NDArray[np.int64]:
    """Training rows: of all users or one half of them, all of their lists or every other one."""
    rows = tables.rows_of(TRAIN)
    if training.users != "all":
        first = in_first_half(tables.users.ids)[tables.user_place[rows]]
        rows = rows[first == (training.users == "first_half")]
    if training.lists != "all":
        even = every_other(tables.user_place[rows], tables.timestamp[rows])
        rows = rows[even == (training.lists == "even")]
    return rows


def _optimizer(pupil: Pupil, training: EvaluatorTraining, rows: int) -> torch.optim.Optimizer:
    """AdamW with the decay of tables and the rate of structural weights apart."""
    net = pupil.evaluator
    tables, biases, deviations = net.tables(), net.biases(), net.deviations()
    structure = [*net.structure(), *pupil.scales()]
    apart = {id(p) for p in (*tables, *biases, *structure, *deviations)}
    rest = [p for p in pupil.parameters() if id(p) not in apart]
    structural = {"lr": training.structure_lr}
    groups: list[dict[str, Any]] = [
        {"params": tables, "weight_decay": training.table_decay(rows)},
        {"params": rest, "weight_decay": training.weight_decay},
        {"params": biases, "weight_decay": training.bias_decay, **structural},
        {"params": structure, "weight_decay": 0.0, **structural},
        {"params": deviations, "weight_decay": training.pair_decay, **structural},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=training.lr)


def train_evaluator(config: Config, log_dir: Path, folder: Path, device: str = "cpu") -> Numbers:
    """Train on the log, leave best.pt in the folder, return the best validation numbers."""
    tables = load_tables(log_dir)
    training = config.train_evaluator
    if training.labels == "world":
        tables = with_true_clicks(tables, load_world(log_dir))
    task = EvaluatorTask(config, tables, device, folder)
    identity = f"{tables.fingerprint} {config.evaluator} {training}"
    best = fit(task, folder, epochs=training.epochs, patience=training.patience, identity=identity)
    return task.calibrate_best() if training.temperature else best


def advice(best: int, epochs: int) -> str | None:
    """What the place of the best epoch (from 1) of so many says about the settings, if anything.

    One that is followed by no worse ones might not be the best there is; the first one, followed by
    worse ones, is that of a net that learns the log by heart (METHOD section 2).
    """
    if best == epochs:
        return f"the last of {epochs} epochs was the best one: more may be better still (epochs)"
    if best == 1:
        return (
            f"the first of {epochs} epochs was the best one, so the net learns this log by heart: "
            "stronger decay (embedding_decay, weight_decay) in larger batches (epoch_steps) may be "
            "better"
        )
    return None


def main(argv: list[str] | None = None) -> int:
    """Console command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="folder of the canonical log")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--config", type=Path, help="TOML file (default: built-in defaults)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    given = parser.parse_args(argv)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        best = train_evaluator(Config.read(given.config), given.log, given.out, given.device)
    except (ConfigError, DataError, ContractError, CheckpointError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except Stopped as stopped:
        sys.stderr.write(f"\n{stopped}\n")
        return 130
    shown = ", ".join(f"{name} {best[name]:.4f}" for name in ("auc", "gauc", "logloss", "ece"))
    sys.stderr.write(f"evaluator: {given.out / BEST} (validation: {shown})\n")
    if hint := advice(*best_epoch(given.out, EvaluatorTask.watch)):
        sys.stderr.write(f"evaluator: {hint}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
