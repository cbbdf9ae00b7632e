from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.config.pipeline_config import PipelineConfig
from model.data.tables.table_cache import load_log_tables
from model.nets.build import build_evaluator
from model.nets.field_layout import FieldLayout
from model.training.generator.generator_task import GeneratorTrainingTask
from tests.toy_log import write_toy_log


def task_of(folder: Path, **training: float) -> GeneratorTrainingTask:
    """A generator about to learn a toy log of 60 requests."""
    tables = load_log_tables(
        write_toy_log(folder / "log", requests=60, users=6, candidates=6, slots=3)
    )
    config = PipelineConfig.from_mapping({"train_generator": training})
    evaluator = build_evaluator(
        config.evaluator, FieldLayout.from_schema(tables.schema), tables.slots
    )
    return GeneratorTrainingTask(config, tables, evaluator.requires_grad_(False), folder, "cpu")


def moved(folder: Path, lr_decay_share: float, done: float) -> float:
    """How far one step of training takes the weights."""
    task = task_of(folder, lr_decay_share=lr_decay_share)
    before = torch.cat([p.detach().flatten() for p in task.net.parameters()])
    task.train_step(task.train_rows()[:16], done)
    after = torch.cat([p.detach().flatten() for p in task.net.parameters()])
    return float((after - before).abs().max())


def test_learning_rate_decays_over_last_share(tmp_path: Path):
    whole = moved(tmp_path / "start", 0.5, 0.5)

    assert moved(tmp_path / "half", 0.5, 0.75) == pytest.approx(whole / 2, rel=0.01)
    assert moved(tmp_path / "end", 0.5, 1.0) == 0.0
    assert moved(tmp_path / "never", 0.0, 1.0) == pytest.approx(whole, rel=0.01)


def test_num_epochs_on_small_log_reaches_min_steps(tmp_path: Path):
    few = task_of(tmp_path / "few", max_batch_size=10, epochs=3, min_steps=1000)
    enough = task_of(tmp_path / "enough", max_batch_size=10, epochs=3, min_steps=10)

    steps = -(-len(few.train_rows()) // few.batch_size())  # of a pass
    assert 1 < steps < 333
    assert (few.num_epochs() - 1) * steps < 1000 <= few.num_epochs() * steps
    assert enough.num_epochs() == 3
