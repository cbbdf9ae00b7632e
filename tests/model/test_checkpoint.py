import json
from dataclasses import replace
from pathlib import Path

import pytest

from model.checkpoint import (
    BEST,
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    read_state,
    write_checkpoint,
    write_state,
)
from model.config import Config, EvaluatorConfig
from model.data.tables import prepare
from model.nets.build import build_evaluator
from model.nets.shape import Fields
from tests.logs import write_toy_log
from tests.model.train_generator.test_steps import task_of


def test_weights_of_other_nets_than_the_configuration_says_are_refused_by_name(tmp_path: Path):
    tables = prepare(write_toy_log(tmp_path / "log", requests=40, users=6), sessions=3)
    small, large = EvaluatorConfig(hidden=8), EvaluatorConfig(hidden=16)
    fields = Fields.of(tables.schema)
    checkpoint = Checkpoint(
        kind="evaluator", config=Config(evaluator=small), schema=tables.schema,
        slots=tables.slots, sessions=tables.history, max_candidates=tables.max_candidates,
        list_sizes=[4], weights=build_evaluator(small, fields, tables.slots).state_dict(),
    )  # fmt: skip

    assert checkpoint.evaluator().members == small.members
    with pytest.raises(CheckpointError, match="weights are of other nets"):
        replace(checkpoint, config=Config(evaluator=large)).evaluator()


def test_a_checkpoint_from_before_lists_began_by_relevance_begins_as_it_was_trained(tmp_path: Path):
    task = task_of(tmp_path)
    assert task.config.generator.by_relevance
    write_checkpoint(tmp_path / BEST, task.checkpoint({}))
    state = read_state(tmp_path / BEST)
    described = json.loads(state["described"])
    del described["config"]["generator"]["by_relevance"]
    write_state(tmp_path / "before.pt", state | {"described": json.dumps(described)})

    assert read_checkpoint(tmp_path / BEST).config.generator.by_relevance
    assert not read_checkpoint(tmp_path / "before.pt").config.generator.by_relevance
