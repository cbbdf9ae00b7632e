"""The training loop of all nets: epochs, progress, early stopping, checkpoints, resuming.

Nets and losses belong to a `TrainingTask`. SIGINT or SIGTERM loses at most one epoch.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from model.checkpoint import LAST_FILE, CheckpointError, read_state, write_state
from model.training.early_stopping import EarlyStopping
from model.training.progress import TrainingProgress

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

EpochMetrics = dict[str, float]
RunSettings = Mapping[str, str]  # name -> value as text; everything that decides the result
EPOCH_LOG_FILE = "epochs.jsonl"  # one line of metrics per epoch


class TrainingTask(Protocol):
    """One net with its data, loss and optimizer."""

    optimizer: torch.optim.Optimizer
    rng: torch.Generator
    title: str
    monitor: str  # the validation metric that selects the best epoch
    monitor_unit: str  # its unit, for progress lines
    higher_is_better: bool  # direction of `monitor`

    @property
    def net(self) -> torch.nn.Module:
        """The net under training."""
        ...

    def train_rows(self) -> Tensor:
        """Rows of the log to train on, (n,) int."""
        ...

    def batch_size(self) -> int:
        """Rows per step."""
        ...

    def train_step(self, rows: Tensor, progress: float) -> EpochMetrics:
        """Take one optimizer step on these rows and return its metrics.

        Args:
            rows: (n,) int, rows of the log.
            progress: completed share of the training, in [0, 1).
        """
        ...

    def validate(self) -> EpochMetrics:
        """Metrics on the validation part."""
        ...

    def save_best_checkpoint(self, metrics: EpochMetrics) -> None:
        """Write the current weights as the best so far."""
        ...


class TrainingInterrupted(Exception):
    """Training was stopped by a signal; all finished epochs are on disk."""


@dataclass(slots=True, kw_only=True)
class _RunState:
    """State of a run in `last.pt` beside weights, optimizer and random state.

    epoch: finished epochs. best_epoch: counted from 1, 0 before the first.
    history: the early-stopping metric of each finished epoch.
    """

    epoch: int = 0
    best: EpochMetrics = field(default_factory=dict)
    best_epoch: int = 0
    history: list[float] = field(default_factory=list)


def run_training(
    task: TrainingTask,
    folder: Path,
    *,
    epochs: int,
    stopping: EarlyStopping,
    settings: RunSettings,
    restart: bool = False,
) -> EpochMetrics:
    """Train until the last epoch or early stopping; resumes from `folder/last.pt`.

    Args:
        task: the net to train.
        folder: receives best.pt, last.pt, curves (TensorBoard) and `epochs.jsonl`.
        epochs: at most this many.
        stopping: the rule of early stopping.
        settings: everything that decides the result: configuration and data.
        restart: discard a run with other settings in the folder instead of raising.

    Returns:
        The validation metrics of the best epoch.

    Raises:
        CheckpointError: the folder holds a run with other settings, or cannot be written.
        TrainingInterrupted: on SIGTERM or SIGINT.
    """
    run = _resume(task, folder, settings, restart=restart)
    _report_start(task, run, epochs)
    progress = TrainingProgress(
        task.title, epochs=epochs, steps_per_epoch=_num_steps(task), done_epochs=run.epoch
    )
    with (
        torch.random.fork_rng(),
        _curve_writer(folder) as curves,
        contextlib.closing(progress),
        _interrupt_on_signal(),
    ):
        while run.epoch < epochs and not stopping.should_stop(run.history):
            if run.best:
                progress.set_best(_describe_best(task, run))
            metrics = _train_epoch(task, run.epoch, epochs, progress)
            _keep_if_best(task, run, metrics)
            run.history.append(metrics[stopping.metric])
            for name, value in metrics.items():
                curves.add_scalar(f"{task.title}/{name}", value, run.epoch)
            run.epoch += 1
            _append_epoch(folder, run.epoch, metrics)
            _save_last(task, folder, settings, run)
    _report_end(task, run, epochs, stopping)
    return run.best


def read_epoch_log(folder: Path) -> list[EpochMetrics]:
    """Metrics of each finished epoch, in order; a torn last line is left out."""
    path = folder / EPOCH_LOG_FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    parsed: list[EpochMetrics] = []
    for number, line in enumerate(lines, start=1):
        try:
            parsed.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise CheckpointError(f"{path}: line {number} is damaged: {error}") from error
    return parsed


def find_best_epoch(folder: Path, monitor: str) -> tuple[int, int]:
    """Epoch with the lowest `monitor` in the run of `folder`, from 1, and the number of epochs."""
    values = [float(metrics[monitor]) for metrics in read_epoch_log(folder)]
    return 1 + values.index(min(values)), len(values)


def settings_text(settings: DataclassInstance) -> str:
    """Every setting as text, defaults included, so that a changed default starts another run."""
    return str([(f.name, getattr(settings, f.name)) for f in fields(settings)])


def run_settings(table: str, settings: DataclassInstance) -> dict[str, str]:
    """Every setting of one configuration table as `table.key` -> text, defaults included."""
    return {f"{table}.{f.name}": repr(getattr(settings, f.name)) for f in fields(settings)}


def _num_steps(task: TrainingTask) -> int:
    return max(1, -(-len(task.train_rows()) // task.batch_size()))


def _is_better(task: TrainingTask, metrics: EpochMetrics, best: EpochMetrics) -> bool:
    if not best:
        return True
    new, old = metrics[task.monitor], best[task.monitor]
    return new > old if task.higher_is_better else new < old


def _keep_if_best(task: TrainingTask, run: _RunState, metrics: EpochMetrics) -> None:
    if _is_better(task, metrics, run.best):
        run.best, run.best_epoch = metrics, run.epoch + 1
        task.save_best_checkpoint(metrics)


def _train_epoch(
    task: TrainingTask, epoch: int, epochs: int, progress: TrainingProgress
) -> EpochMetrics:
    """One pass over the training rows and one validation; `seconds` is the time of the pass."""
    torch.manual_seed(int(torch.randint(2**31, (1,), generator=task.rng)))  # seeds dropout
    rows = task.train_rows()
    rows = rows[torch.randperm(len(rows), generator=task.rng)]
    batches = rows.split(task.batch_size())
    task.net.train()
    totals: EpochMetrics = {}
    started = time.monotonic()
    for index, batch in enumerate(batches):
        metrics = task.train_step(batch, (epoch + index / len(batches)) / epochs)
        for name, value in metrics.items():
            totals[name] = totals.get(name, 0.0) + value / len(batches)
        progress.advance()
    seconds = time.monotonic() - started
    task.net.eval()
    with torch.no_grad():
        validation = task.validate()
    return {f"train_{k}": v for k, v in totals.items()} | validation | {"seconds": seconds}


def _report_start(task: TrainingTask, run: _RunState, epochs: int) -> None:
    resumed = f", resuming after epoch {run.epoch}" if run.epoch else ""
    sys.stderr.write(
        f"{task.title}: {len(task.train_rows())} training lists, at most {epochs} epochs of "
        f"{_num_steps(task)} steps with {task.batch_size()} lists{resumed}\n"
    )


def _report_end(task: TrainingTask, run: _RunState, epochs: int, stopping: EarlyStopping) -> None:
    reason = ""
    if run.epoch < epochs:
        reason = f" of {epochs}: {stopping.metric} did not improve in {stopping.patience} epochs"
    sys.stderr.write(
        f"{task.title}: finished after epoch {run.epoch}{reason}; "
        f"best {_describe_best(task, run)} at epoch {run.best_epoch}\n"
    )


def _describe_best(task: TrainingTask, run: _RunState) -> str:
    value = run.best.get(task.monitor, float("nan"))
    return f"{task.monitor} {value:.4f} {task.monitor_unit}".rstrip()


@contextlib.contextmanager
def _curve_writer(folder: Path) -> Iterator[SummaryWriter]:
    with contextlib.closing(SummaryWriter(str(folder / "curves"))) as writer:
        yield writer


def _append_epoch(folder: Path, epoch: int, metrics: EpochMetrics) -> None:
    path = folder / EPOCH_LOG_FILE
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"epoch": epoch, **metrics}) + "\n")
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror}") from error


def _save_last(task: TrainingTask, folder: Path, settings: RunSettings, run: _RunState) -> None:
    state = {f.name: getattr(run, f.name) for f in fields(run)} | {
        "settings": dict(settings),
        "net": task.net.state_dict(),
        "optimizer": task.optimizer.state_dict(),
        "rng": task.rng.get_state(),
    }
    write_state(folder / LAST_FILE, state)


def _resume(task: TrainingTask, folder: Path, settings: RunSettings, *, restart: bool) -> _RunState:
    """Load last.pt into the task and cut epochs.jsonl to its epochs; else start a new run."""
    path = folder / LAST_FILE
    state = read_state(path) if path.exists() else None
    if state is not None and state.get("settings") != dict(settings):
        if not restart:
            changes = _describe_changes(state.get("settings", {}), settings)
            raise CheckpointError(
                f"{folder} holds a run with other settings ({changes}); "
                "choose another folder, or restart the run (--restart) and lose its progress"
            )
        state = None
    if state is None:
        _start_new_run(folder)
        return _RunState()
    task.net.load_state_dict(state["net"])
    task.optimizer.load_state_dict(state["optimizer"])
    task.rng.set_state(state["rng"])
    run = _RunState(**{f.name: state[f.name] for f in fields(_RunState)})
    _cut_epoch_log(folder, run.epoch)
    return run


def _start_new_run(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (EPOCH_LOG_FILE, LAST_FILE):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written: {error.strerror}") from error


def _cut_epoch_log(folder: Path, epochs: int) -> None:
    """Drop lines after the resumed epoch: an epoch that ended without last.pt, or a torn line."""
    kept = [json.dumps(m) + "\n" for m in read_epoch_log(folder) if m["epoch"] <= epochs]
    partial = folder / f"{EPOCH_LOG_FILE}.part"
    try:
        partial.write_text("".join(kept), encoding="utf-8")
        partial.replace(folder / EPOCH_LOG_FILE)
    except OSError as error:
        raise CheckpointError(f"{partial}: cannot be written: {error.strerror}") from error


def _describe_changes(old: RunSettings, new: RunSettings) -> str:
    """`name: old -> new` of at most four settings that differ."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    shown = [f"{n}: {old.get(n, 'absent')} -> {new.get(n, 'absent')}" for n in names[:4]]
    more = [f"{len(names) - 4} more"] if len(names) > 4 else []
    return "; ".join(shown + more)


@contextlib.contextmanager
def _interrupt_on_signal() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `TrainingInterrupted`, so that files are closed."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise TrainingInterrupted(
            f"stopped by {signal.Signals(number).name}; run the same command to resume"
        )

    before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {
        number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
