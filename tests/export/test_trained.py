"""Which checkpoints may be exported together."""

from dataclasses import replace
from pathlib import Path

import pytest

from export.cli import read_trained
from model.checkpoint import BEST, Checkpoint, CheckpointError, write_checkpoint
from model.config import Config
from model.data.tables import prepare
from model.nets.build import build_evaluator, build_generator
from model.nets.shape import Fields
from tests.logs import write_toy_log


def written(folder: Path, config: Config, items: int = 30) -> tuple[Path, Path]:
    """Fresh nets of a toy log, as training leaves them."""
    tables = prepare(write_toy_log(folder / "log", requests=40, users=6, items=items), sessions=3)
    fields = Fields.of(tables.schema)
    evaluator = build_evaluator(config.evaluator, fields, tables.slots)
    nets = {
        "evaluator": evaluator,
        "generator": build_generator(config.generator, config.evaluator, fields, tables.slots),
    }
    for kind, net in nets.items():
        (folder / kind).mkdir()
        checkpoint = Checkpoint(
            kind=kind, config=config, schema=tables.schema, slots=tables.slots,
            sessions=tables.history, max_candidates=tables.max_candidates, list_sizes=[4],
            weights=net.state_dict(), facts={},
        )  # fmt: skip
        write_checkpoint(folder / kind / BEST, checkpoint)
    return folder / "evaluator", folder / "generator"


def test_a_net_that_learned_from_a_worlds_truth_is_not_exported(tmp_path: Path):
    config = Config()
    truth = replace(config, train_evaluator=replace(config.train_evaluator, labels="world"))

    learned = written(tmp_path / "clicks", config)
    told = written(tmp_path / "truth", truth)

    assert read_trained(*learned).evaluator.config == config
    with pytest.raises(CheckpointError, match="learned from a world's truth"):
        read_trained(*told)


def test_nets_of_different_schemas_are_not_exported_together(tmp_path: Path):
    evaluator, _ = written(tmp_path / "one", Config())
    _, generator = written(tmp_path / "other", Config(), items=31)

    with pytest.raises(CheckpointError, match="different schemas"):
        read_trained(evaluator, generator)
