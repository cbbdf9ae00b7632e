import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.calibration import SHARPENED, scale_checkpoint, sharpen_to_fit
from model.checkpoint import read_checkpoint
from model.config import Config
from model.data.batches import Gatherer
from model.data.tables import LogTables, load_tables
from model.search import predict_shown
from model.train_evaluator import train_evaluator
from tests.logs import write_toy_log

FACTOR = 1.4


def trained(tmp_path: Path, kind: str, *, temperature: bool = False) -> tuple[LogTables, Path]:
    """A toy log and the checkpoint of an evaluator with one member that saw it once."""
    log = write_toy_log(tmp_path / "log", requests=120, users=12, items=20)
    config = Config.from_mapping(
        {
            "evaluator": {"kind": kind, "members": 1, "hidden": 8, "factors": 4},
            "train_evaluator": {"epochs": 1, "temperature": temperature},
        }
    )
    train_evaluator(config, log, tmp_path / "run")
    return load_tables(log), tmp_path / "run" / "best.pt"


@pytest.mark.parametrize("kind", ["nlgr", "context", "pair"])
def test_the_factor_that_made_the_clicks_is_found_again(kind: str, tmp_path: Path):
    tables, path = trained(tmp_path, kind)
    rows = torch.arange(len(tables.part))
    sharper = read_checkpoint(path).evaluator()
    sharper.sharpen(FACTOR)
    p, _ = predict_shown(sharper, Gatherer(tables), rows)
    answered = Gatherer(replace(tables, clicks=p.numpy().astype(np.float32)))
    net = read_checkpoint(path).evaluator()

    found = sharpen_to_fit(net, answered, rows)

    assert found == pytest.approx(FACTOR, abs=0.02)
    again, _ = predict_shown(net, answered, rows)
    assert torch.allclose(again, p, atol=2e-3)


def test_training_leaves_a_net_that_says_by_what_it_was_sharpened(tmp_path: Path):
    _, plain = trained(tmp_path / "plain", "pair")
    tables, path = trained(tmp_path / "scaled", "pair", temperature=True)
    before, after = read_checkpoint(plain), read_checkpoint(path)
    factor = after.facts[SHARPENED]

    assert SHARPENED not in before.facts
    assert abs(math.log(factor)) > 0.01
    expected = before.evaluator()
    expected.sharpen(factor)
    rows = torch.arange(20)
    want, _ = predict_shown(expected, Gatherer(tables), rows)
    got, _ = predict_shown(after.evaluator(), Gatherer(tables), rows)
    assert torch.allclose(got, want, atol=1e-5)


def test_validation_numbers_are_of_the_sharpened_net_and_it_is_sharpened_once(tmp_path: Path):
    tables, path = trained(tmp_path, "pair", temperature=True)
    said = path.read_bytes()
    facts = read_checkpoint(path).facts

    numbers = scale_checkpoint(path, Gatherer(tables), torch.arange(20))

    assert path.read_bytes() == said
    assert numbers == facts["validation"]
