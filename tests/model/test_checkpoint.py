import json
from dataclasses import replace
from pathlib import Path

import pytest

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
from tests.model.training.generator.test_generator_task import task_of
from tests.toy_log import write_toy_log


def test_weights_of_other_nets_than_the_configuration_says_are_refused_by_name(tmp_path: Path):
    tables = build_log_tables(
        write_toy_log(tmp_path / "log", requests=40, users=6), history_length=3
    )
    small, large = EvaluatorConfig(hidden=8), EvaluatorConfig(hidden=16)
    fields = FieldLayout.from_schema(tables.schema)
    checkpoint = Checkpoint(
        kind="evaluator", config=PipelineConfig(evaluator=small), schema=tables.schema,
        slots=tables.slots, history_length=tables.history_length, max_candidates=tables.max_candidates,
        list_sizes=[4], weights=build_evaluator(small, fields, tables.slots).state_dict(),
    )  # fmt: skip

    assert checkpoint.load_evaluator().members == small.members
    with pytest.raises(CheckpointError, match="weights are of other nets"):
        replace(checkpoint, config=PipelineConfig(evaluator=large)).load_evaluator()


def test_a_checkpoint_from_before_lists_began_by_relevance_begins_as_it_was_trained(tmp_path: Path):
    task = task_of(tmp_path)
    assert task.config.generator.starts_from_relevance_order
    write_checkpoint(tmp_path / BEST_FILE, task.build_checkpoint({}))
    state = read_state(tmp_path / BEST_FILE)
    described = json.loads(state["described"])
    del described["config"]["generator"]["starts_from_relevance_order"]
    write_state(tmp_path / "before.pt", state | {"described": json.dumps(described)})

    assert read_checkpoint(tmp_path / BEST_FILE).config.generator.starts_from_relevance_order
    assert not read_checkpoint(tmp_path / "before.pt").config.generator.starts_from_relevance_order
