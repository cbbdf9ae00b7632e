from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.config import Config
from model.config_values import ConfigError
from model.data.tables import load_tables
from model.nets.build import build_evaluator
from model.nets.shape import Fields
from model.train_generator.task import GeneratorTask
from tests.logs import write_toy_log


def task_of(folder: Path, **training: float) -> GeneratorTask:
    """A generator about to learn a toy log of 60 requests."""
    tables = load_tables(write_toy_log(folder / "log", requests=60, users=6, candidates=6, slots=3))
    config = Config.from_mapping({"train_generator": training})
    evaluator = build_evaluator(config.evaluator, Fields.of(tables.schema), tables.slots)
    return GeneratorTask(config, tables, evaluator.requires_grad_(False), folder, "cpu")


def moved(folder: Path, lr_decay: float, done: float) -> float:
    """How far one step of training takes the weights."""
    task = task_of(folder, lr_decay=lr_decay)
    before = torch.cat([p.detach().flatten() for p in task.net.parameters()])
    task.step(task.train_rows()[:16], done)
    after = torch.cat([p.detach().flatten() for p in task.net.parameters()])
    return float((after - before).abs().max())


def test_the_rate_falls_to_zero_over_the_last_share_of_the_training(tmp_path: Path):
    whole = moved(tmp_path / "start", 0.5, 0.5)

    assert moved(tmp_path / "half", 0.5, 0.75) == pytest.approx(whole / 2, rel=0.01)
    assert moved(tmp_path / "end", 0.5, 1.0) == 0.0
    assert moved(tmp_path / "never", 0.0, 1.0) == pytest.approx(whole, rel=0.01)


def test_a_share_above_one_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"lr_decay=1\.5 is not in \[0, 1\]"):
        Config.from_mapping({"train_generator": {"lr_decay": 1.5}})


def test_a_small_log_is_gone_through_until_there_were_enough_steps(tmp_path: Path):
    few = task_of(tmp_path / "few", max_batch=10, epochs=3, least_steps=1000)
    enough = task_of(tmp_path / "enough", max_batch=10, epochs=3, least_steps=10)

    steps = -(-len(few.train_rows()) // few.batch_size())  # of a pass
    assert 1 < steps < 333
    assert (few.epochs() - 1) * steps < 1000 <= few.epochs() * steps
    assert enough.epochs() == 3
