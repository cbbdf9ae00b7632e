"""The training loop on a task with one weight: fit y = goal x."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.checkpoint import CheckpointError, read_state, write_state
from model.config.pipeline_config import EvaluatorTrainingConfig
from model.training.early_stopping import EarlyStopping
from model.training.trainer import (
    EpochMetrics,
    TrainingInterrupted,
    find_best_epoch,
    read_epoch_log,
    run_settings,
    run_training,
    settings_text,
)


class QuadraticTask:
    title, monitor, monitor_unit = "slope", "error", "per x"
    higher_is_better = False

    def __init__(
        self, folder: Path, *, interrupt_at_step: int | None = None, goal: float = 3.0
    ) -> None:
        self.net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.net.weight)
        self.optimizer: torch.optim.Optimizer = torch.optim.SGD(
            self.net.parameters(), lr=0.02, momentum=0.5
        )
        self.rng = torch.Generator().manual_seed(0)
        self.folder, self.interrupt_at_step, self.goal, self.steps = (
            folder,
            interrupt_at_step,
            goal,
            0,
        )
        self.saved: list[float] = []

    def train_rows(self) -> Tensor:
        return torch.arange(10)

    def batch_size(self) -> int:
        return 4

    def train_step(self, rows: Tensor, progress: float) -> EpochMetrics:
        assert 0.0 <= progress < 1.0
        x = rows.float().unsqueeze(1) / 10
        loss = (self.net(x) - self.goal * x).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        if self.steps == self.interrupt_at_step:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": loss.item()}

    def validate(self) -> EpochMetrics:
        return {"error": abs(float(self.net.weight) - 3.0)}

    def save_best_checkpoint(self, numbers: EpochMetrics) -> None:
        self.saved.append(numbers["error"])


def train(
    task: QuadraticTask,
    folder: Path,
    *,
    epochs: int,
    patience: int = 0,
    lr: str = "0.02",
    restart: bool = False,
) -> EpochMetrics:
    return run_training(
        task,
        folder,
        epochs=epochs,
        stopping=EarlyStopping(metric="error", patience=patience),
        settings={"log": "a", "train.lr": lr},
        restart=restart,
    )


def test_run_training_logs_every_epoch_and_returns_best(tmp_path: Path):
    task = QuadraticTask(tmp_path)

    best = train(task, tmp_path, epochs=5)

    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert best["error"] == min(line["error"] for line in lines) == task.saved[-1]
    assert list((tmp_path / "curves").iterdir())


def test_find_best_epoch_returns_epoch_of_lowest_metric(tmp_path: Path):
    task = QuadraticTask(tmp_path, goal=4.0)  # the weight passes 3, the validation optimum

    best = train(task, tmp_path, epochs=40)

    epoch, epochs = find_best_epoch(tmp_path, "error")
    assert 1 < epoch < epochs == 40
    assert read_epoch_log(tmp_path)[epoch - 1]["error"] == best["error"]


def test_run_training_with_higher_is_better_keeps_highest(tmp_path: Path):
    task = QuadraticTask(tmp_path)
    task.higher_is_better = True

    best = train(task, tmp_path, epochs=5)

    assert best["error"] == max(metrics["error"] for metrics in read_epoch_log(tmp_path))


def test_resumed_training_ends_like_an_uninterrupted_run(tmp_path: Path):
    uninterrupted = QuadraticTask(tmp_path / "whole")
    train(uninterrupted, tmp_path / "whole", epochs=6)
    folder = tmp_path / "interrupted"

    with pytest.raises(TrainingInterrupted, match="SIGTERM"):
        train(QuadraticTask(folder, interrupt_at_step=8), folder, epochs=6)
    resumed = QuadraticTask(folder)
    train(resumed, folder, epochs=6)

    assert torch.equal(resumed.net.weight, uninterrupted.net.weight)
    assert resumed.steps == uninterrupted.steps - 2 * 3  # two epochs of three steps were kept


def test_resume_with_torn_epoch_line_cuts_it(tmp_path: Path):
    train(QuadraticTask(tmp_path), tmp_path, epochs=3)
    finished = (tmp_path / "epochs.jsonl").read_text()
    # epoch 4 was logged but its last.pt was not written, epoch 5 was torn by a crash
    (tmp_path / "epochs.jsonl").write_text(
        finished + '{"epoch": 4, "error": 9.0}\n{"epoch": 5, "er'
    )

    assert [m["epoch"] for m in read_epoch_log(tmp_path)] == [1, 2, 3, 4]
    train(QuadraticTask(tmp_path), tmp_path, epochs=4)

    log = read_epoch_log(tmp_path)
    assert [metrics["epoch"] for metrics in log] == [1, 2, 3, 4]
    assert log[3]["error"] < 3.0


def test_read_epoch_log_with_damaged_line_names_it(tmp_path: Path):
    (tmp_path / "epochs.jsonl").write_text('{"epoch": 1}\n{"epo\n{"epoch": 3}\n')

    with pytest.raises(CheckpointError, match=r"epochs\.jsonl: line 2 is damaged"):
        read_epoch_log(tmp_path)


def test_run_training_with_other_settings_keeps_progress(tmp_path: Path):
    train(QuadraticTask(tmp_path), tmp_path, epochs=3)
    before = {name: (tmp_path / name).read_bytes() for name in ("last.pt", "epochs.jsonl")}
    other = QuadraticTask(tmp_path)

    with pytest.raises(
        CheckpointError, match=r"other settings \(train.lr: 0.02 -> 0.05\).*--restart"
    ):
        train(other, tmp_path, epochs=3, lr="0.05")

    assert other.steps == 0
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_run_training_with_restart_discards_other_run(tmp_path: Path):
    train(QuadraticTask(tmp_path), tmp_path, epochs=5)
    other = QuadraticTask(tmp_path)

    train(other, tmp_path, epochs=3, lr="0.05", restart=True)

    assert other.steps == 9
    assert [metrics["epoch"] for metrics in read_epoch_log(tmp_path)] == [1, 2, 3]


def test_run_training_without_improvement_stops_after_patience(tmp_path: Path, capsys):
    task = QuadraticTask(tmp_path, goal=-3.0)  # away from 3: the first epoch is the best

    train(task, tmp_path, epochs=10, patience=2)

    assert task.steps == 3 * 3
    assert len(task.saved) == 1
    start, end = capsys.readouterr().err.splitlines()
    assert start == "slope: 10 training lists, at most 10 epochs of 3 steps with 4 lists"
    assert end.startswith("slope: finished after epoch 3 of 10: error did not improve in 2 epochs")
    assert end.endswith(f"best error {task.saved[0]:.4f} per x at epoch 1")


def test_run_training_on_unwritable_folder_names_it(tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(CheckpointError, match="file/run: cannot be written: Not a directory"):
        train(QuadraticTask(tmp_path), tmp_path / "file" / "run", epochs=1)


def test_read_state_of_damaged_file_names_it(tmp_path: Path):
    path = tmp_path / "x.pt"
    write_state(path, {"weights": {"a": torch.ones(2)}})
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(CheckpointError, match=r"x\.pt: damaged"):
        read_state(path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_state(tmp_path / "absent.pt")


def test_settings_text_names_defaults_too():
    text = settings_text(EvaluatorTrainingConfig(seed=2))

    assert "('seed', 2)" in text
    assert f"('lr', {EvaluatorTrainingConfig().lr})" in text
    assert text != settings_text(EvaluatorTrainingConfig())
    assert run_settings("t", EvaluatorTrainingConfig(seed=2))["t.seed"] == "2"
