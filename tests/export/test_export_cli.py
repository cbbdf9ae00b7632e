"""Which checkpoints may be exported together."""

from dataclasses import replace
from pathlib import Path

import pytest

from export.cli import read_trained_models
from model.checkpoint import BEST_FILE, Checkpoint, CheckpointError, write_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.tables.table_cache import build_log_tables
from model.nets.build import build_evaluator, build_generator
from model.nets.field_layout import FieldLayout
from tests.toy_log import write_toy_log


def write_checkpoints(folder: Path, config: PipelineConfig, items: int = 30) -> tuple[Path, Path]:
    """Fresh nets of a toy log, as training leaves them."""
    tables = build_log_tables(
        write_toy_log(folder / "log", requests=40, users=6, items=items), history_length=3
    )
    fields = FieldLayout.from_schema(tables.schema)
    evaluator = build_evaluator(config.evaluator, fields, tables.slots)
    nets = {
        "evaluator": evaluator,
        "generator": build_generator(config.generator, config.evaluator, fields, tables.slots),
    }
    for kind, net in nets.items():
        (folder / kind).mkdir()
        checkpoint = Checkpoint(
            kind=kind, config=config, schema=tables.schema, slots=tables.slots,
            history_length=tables.history_length, max_candidates=tables.max_candidates,
            list_sizes=[4],
            weights=net.state_dict(), metadata={},
        )  # fmt: skip
        write_checkpoint(folder / kind / BEST_FILE, checkpoint)
    return folder / "evaluator", folder / "generator"


def test_read_trained_models_oracle_labels_raise(tmp_path: Path):
    config = PipelineConfig()
    truth = replace(config, train_evaluator=replace(config.train_evaluator, labels="world"))

    learned = write_checkpoints(tmp_path / "clicks", config)
    told = write_checkpoints(tmp_path / "truth", truth)

    assert read_trained_models(*learned).evaluator.config == config
    with pytest.raises(CheckpointError, match="learned from a world's truth"):
        read_trained_models(*told)


def test_read_trained_models_different_schemas_raise(tmp_path: Path):
    evaluator, _ = write_checkpoints(tmp_path / "one", PipelineConfig())
    _, generator = write_checkpoints(tmp_path / "other", PipelineConfig(), items=31)

    with pytest.raises(CheckpointError, match="different schemas"):
        read_trained_models(evaluator, generator)
