import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.checkpoint import (
    BEST_FILE,
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    read_state,
    write_checkpoint,
    write_state,
)
from model.config.pipeline_config import EvaluatorConfig, PipelineConfig
from model.data.tables.table_cache import build_log_tables
from model.nets.build import build_evaluator
from model.nets.field_layout import FieldLayout
from tests.model.training.generator.test_generator_task import task_of as generator_task
from tests.toy_log import write_toy_log


def test_load_evaluator_with_other_sizes_is_refused(tmp_path: Path):
    tables = build_log_tables(
        write_toy_log(tmp_path / "log", requests=40, users=6), history_length=3
    )
    small, large = EvaluatorConfig(hidden=8), EvaluatorConfig(hidden=16)
    fields = FieldLayout.from_schema(tables.schema)
    checkpoint = Checkpoint(
        kind="evaluator", config=PipelineConfig(evaluator=small), schema=tables.schema,
        slots=tables.slots, history_length=tables.history_length,
        max_candidates=tables.max_candidates, list_sizes=[4],
        weights=build_evaluator(small, fields, tables.slots).state_dict(),
    )  # fmt: skip

    assert checkpoint.load_evaluator().members == small.members
    with pytest.raises(CheckpointError, match="do not fit the net"):
        replace(checkpoint, config=PipelineConfig(evaluator=large)).load_evaluator()


def test_read_checkpoint_returns_what_was_written(tmp_path: Path):
    written = generator_task(tmp_path).build_checkpoint({"noise_scale": 0.5})
    write_checkpoint(tmp_path / BEST_FILE, written)

    read = read_checkpoint(tmp_path)

    assert replace(read, weights={}) == replace(written, weights={})
    assert all(torch.equal(read.weights[name], value) for name, value in written.weights.items())


def test_read_checkpoint_with_unknown_key_is_refused(tmp_path: Path):
    write_checkpoint(tmp_path / BEST_FILE, generator_task(tmp_path).build_checkpoint({}))
    state = read_state(tmp_path / BEST_FILE)
    described = json.loads(state["described"])
    described["config"]["generator"]["edit_count"] = 4
    write_state(tmp_path / "other.pt", state | {"described": json.dumps(described)})

    with pytest.raises(CheckpointError, match=r"other\.pt: .*unknown key 'edit_count'"):
        read_checkpoint(tmp_path / "other.pt")


def test_write_state_on_full_disk_keeps_old_file(tmp_path: Path):
    path = tmp_path / "x.pt"
    write_state(path, {"a": torch.ones(2)})
    (tmp_path / "x.part").symlink_to("/dev/full")  # every write to it fails with ENOSPC

    with pytest.raises(CheckpointError, match=r"x\.pt: cannot be written: .*No space left"):
        write_state(path, {"a": torch.zeros(200_000)})

    assert torch.equal(read_state(path)["a"], torch.ones(2))
    assert not (tmp_path / "x.part").is_symlink()
