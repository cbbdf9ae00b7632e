"""The loop on a task small enough to know by heart: fit y = 3x by one weight."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.checkpoint import CheckpointError, read_state, write_state
from model.config.pipeline_config import EvaluatorTrainingConfig
from model.training.trainer import (
    EpochMetrics,
    TrainingInterrupted,
    find_best_epoch,
    run_training,
    settings_text,
)


class QuadraticTask:
    title, monitor = "slope", "error"

    def __init__(self, folder: Path, *, stop_at: int | None = None, goal: float = 3.0) -> None:
        self.net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.net.weight)
        self.optimizer: torch.optim.Optimizer = torch.optim.SGD(
            self.net.parameters(), lr=0.02, momentum=0.5
        )
        self.rng = torch.Generator().manual_seed(0)
        self.folder, self.stop_at, self.goal, self.steps = folder, stop_at, goal, 0
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
        if self.steps == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return {"loss": loss.item()}

    def validate(self) -> EpochMetrics:
        return {"error": abs(float(self.net.weight) - 3.0)}

    def save_best_checkpoint(self, numbers: EpochMetrics) -> None:
        self.saved.append(numbers["error"])


def test_training_keeps_the_best_epoch_and_writes_a_line_an_epoch(tmp_path: Path):
    task = QuadraticTask(tmp_path)

    best = run_training(task, tmp_path, epochs=5, patience=None, run_id="a")

    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert best["error"] == min(line["error"] for line in lines) == task.saved[-1]
    assert list((tmp_path / "curves").iterdir())


def test_the_best_epoch_is_the_one_whose_weights_were_kept(tmp_path: Path):
    task = QuadraticTask(tmp_path, goal=4.0)  # passes 3, which validation wants, on its way to 4

    kept = run_training(task, tmp_path, epochs=40, patience=None, run_id="a")

    best, epochs = find_best_epoch(tmp_path, "error")
    lines = [json.loads(line) for line in (tmp_path / "epochs.jsonl").read_text().splitlines()]
    assert 1 < best < epochs == 40
    assert lines[best - 1]["error"] == kept["error"]


def test_a_stopped_run_goes_on_and_ends_where_an_unbroken_one_does(tmp_path: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = QuadraticTask(whole)
    run_training(unbroken, whole, epochs=6, patience=None, run_id="a")

    with pytest.raises(TrainingInterrupted, match="SIGTERM"):
        run_training(QuadraticTask(broken, stop_at=8), broken, epochs=6, patience=None, run_id="a")
    resumed = QuadraticTask(broken)
    run_training(resumed, broken, epochs=6, patience=None, run_id="a")

    assert torch.equal(resumed.net.weight, unbroken.net.weight)
    assert resumed.steps == unbroken.steps - 2 * 3  # two epochs of three steps were kept


def test_a_run_of_another_configuration_is_not_resumed(tmp_path: Path):
    run_training(QuadraticTask(tmp_path), tmp_path, epochs=3, patience=None, run_id="a")
    other = QuadraticTask(tmp_path)

    run_training(other, tmp_path, epochs=3, patience=None, run_id="b")

    assert other.steps == 9
    assert len((tmp_path / "epochs.jsonl").read_text().splitlines()) == 3


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path):
    task = QuadraticTask(tmp_path, goal=-3.0)  # away from 3: no epoch after the first is better

    run_training(task, tmp_path, epochs=10, patience=2, run_id="a")

    assert task.steps == 3 * 3
    assert len(task.saved) == 1


def test_a_damaged_checkpoint_is_named_and_never_run(tmp_path: Path):
    path = tmp_path / "x.pt"
    write_state(path, {"weights": {"a": torch.ones(2)}})
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(CheckpointError, match=r"x\.pt: damaged"):
        read_state(path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_state(tmp_path / "absent.pt")


def test_a_run_is_named_by_every_setting_so_that_a_new_default_is_a_new_run():
    named = settings_text(EvaluatorTrainingConfig(seed=2))

    assert "('seed', 2)" in named
    assert f"('lr', {EvaluatorTrainingConfig().lr})" in named
    assert named != settings_text(EvaluatorTrainingConfig())
