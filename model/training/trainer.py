"""The training loop that both nets share: epochs, progress, curves, best and last, resuming.

It knows neither nets nor losses: a `TrainingTask` does. Ctrl-C (or SIGTERM) loses at most one epoch.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from model.checkpoint import LAST_FILE, read_state, write_state
from model.contract.text_files import split_lines

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

EpochMetrics = dict[str, float]
EPOCH_LOG_FILE = "epochs.jsonl"  # a line of numbers an epoch


class TrainingTask(Protocol):
    """One net to be trained."""

    optimizer: torch.optim.Optimizer
    rng: torch.Generator
    title: str
    monitor: str  # the validation number that decides, lower is better

    @property
    def net(self) -> torch.nn.Module:
        """The net itself."""
        ...

    def train_rows(self) -> Tensor:
        """Rows of the log to learn from, (n,) int."""
        ...

    def batch_size(self) -> int:
        """Rows of one step."""
        ...

    def train_step(self, rows: Tensor, progress: float) -> EpochMetrics:
        """One optimizer step on these rows; returns what to show (`loss` first)."""
        ...

    def validate(self) -> EpochMetrics:
        """Numbers on the validation part."""
        ...

    def save_best_checkpoint(self, numbers: EpochMetrics) -> None:
        """Keep the present weights as the best so far."""
        ...


class TrainingInterrupted(Exception):
    """Training was asked to stop; what is done is on disk."""


def run_training(
    task: TrainingTask, folder: Path, *, epochs: int, patience: int | None, run_id: str
) -> EpochMetrics:
    """Train until the epochs are over or patience is; resumes from `folder/last.pt`.

    Args:
        task: what to train.
        folder: receives best.pt, last.pt, curves (TensorBoard) and `epochs.jsonl`.
        epochs: at most this many.
        patience: epochs without improvement before stopping; None never stops early.
        identity: changes when the run is another (config, data); a last.pt of another run is not
            resumed.

    Returns:
        The validation numbers of the best epoch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, best, stale = _resume(task, folder / LAST_FILE, run_id)
    if first == 0:
        (folder / EPOCH_LOG_FILE).unlink(missing_ok=True)
    writer = SummaryWriter(str(folder / "curves"))
    with torch.random.fork_rng(), contextlib.closing(writer) as curves, _interrupt_on_signal():
        for epoch in range(first, epochs):
            if patience is not None and stale >= patience:
                break
            numbers = _epoch(task, epoch, epochs)
            better = not best or numbers[task.monitor] < best[task.monitor]
            best, stale = (numbers, 0) if better else (best, stale + 1)
            if better:
                task.save_best_checkpoint(numbers)
            for name, value in numbers.items():
                curves.add_scalar(f"{task.title}/{name}", value, epoch)
            _report(task, folder, epoch, numbers, better)
            _save_last(task, folder / LAST_FILE, run_id, (epoch + 1, best, stale))
    return best


def find_best_epoch(folder: Path, monitor: str) -> tuple[int, int]:
    """Of the run in `job_dir`: the epoch of the lowest `monitor`, counted from 1, and how many."""
    lines = split_lines((folder / EPOCH_LOG_FILE).read_text(encoding="utf-8"))
    watched = [float(json.loads(line)[monitor]) for line in lines]
    return 1 + watched.index(min(watched)), len(watched)


def settings_text(settings: DataclassInstance) -> str:
    """Every setting as text: what names a run.

    Those at their defaults, too: a default that changes must not pass off old runs as new ones.
    """
    return str([(f.name, getattr(settings, f.name)) for f in fields(settings)])


def _epoch(task: TrainingTask, epoch: int, epochs: int) -> EpochMetrics:
    torch.manual_seed(int(torch.randint(2**31, (1,), generator=task.rng)))  # dropout draws here
    rows = task.train_rows()
    rows = rows[torch.randperm(len(rows), generator=task.rng)]
    size = task.batch_size()
    batches = [rows[at : at + size] for at in range(0, len(rows), size)]
    task.net.train()
    totals: EpochMetrics = {}
    started = time.monotonic()
    show = tqdm(
        batches,
        desc=f"{task.title} epoch {epoch + 1}/{epochs}",
        unit="batch",
        leave=False,
        disable=None,
        dynamic_ncols=True,
    )
    for at, batch in enumerate(show):
        numbers = task.train_step(batch, (epoch + at / len(batches)) / epochs)
        for name, value in numbers.items():
            totals[name] = totals.get(name, 0.0) + value / len(batches)
        show.set_postfix({k: f"{v * len(batches) / (at + 1):.4f}" for k, v in totals.items()})
    seconds = time.monotonic() - started
    task.net.eval()
    with torch.no_grad():
        measured = task.validate()
    return {f"train_{k}": v for k, v in totals.items()} | measured | {"seconds": seconds}


def _report(
    task: TrainingTask, folder: Path, epoch: int, numbers: EpochMetrics, better: bool
) -> None:
    shown = "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())
    sys.stderr.write(f"{task.title} epoch {epoch + 1}: {shown}{'  (best)' if better else ''}\n")
    with (folder / EPOCH_LOG_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"epoch": epoch + 1, **numbers}) + "\n")


def _save_last(
    task: TrainingTask, path: Path, identity: str, at: tuple[int, EpochMetrics, int]
) -> None:
    state = {
        "identity": identity,
        "epoch": at[0],
        "best": at[1],
        "stale": at[2],
        "net": task.net.state_dict(),
        "optimizer": task.optimizer.state_dict(),
        "rng": task.rng.get_state(),
    }
    write_state(path, state)


def _resume(task: TrainingTask, path: Path, identity: str) -> tuple[int, EpochMetrics, int]:
    if not path.exists():
        return 0, {}, 0
    state = read_state(path)
    if state["identity"] != identity:
        sys.stderr.write(f"{path} belongs to another configuration or log: starting anew\n")
        return 0, {}, 0
    task.net.load_state_dict(state["net"])
    task.optimizer.load_state_dict(state["optimizer"])
    task.rng.set_state(state["rng"])
    sys.stderr.write(f"{task.title}: going on after epoch {state['epoch']}\n")
    return state["epoch"], state["best"], state["stale"]


@contextlib.contextmanager
def _interrupt_on_signal() -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into `TrainingInterrupted`, so that files are closed."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise TrainingInterrupted(
            f"stopped by {signal.Signals(number).name}; run the same command to go on"
        )

    before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {
        number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
