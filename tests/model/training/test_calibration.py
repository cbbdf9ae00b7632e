import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import read_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.tables.batches import BatchLoader
from model.data.tables.table_cache import LogTables, load_log_tables
from model.search.scorer import predict_shown_lists
from model.training.calibration import (
    CLICK_LOGIT_SCALE,
    calibrate_checkpoint,
    fit_click_logit_scale,
)
from model.training.evaluator import train_evaluator
from tests.toy_log import write_toy_log

FACTOR = 1.4


def trained(tmp_path: Path, kind: str, *, temperature: bool = False) -> tuple[LogTables, Path]:
    """A toy log and the checkpoint of an evaluator with one member that saw it once."""
    log = write_toy_log(tmp_path / "log", requests=120, users=12, items=20)
    config = PipelineConfig.from_mapping(
        {
            "evaluator": {"kind": kind, "members": 1, "hidden": 8, "factor_width": 4},
            "train_evaluator": {"epochs": 1, "temperature_scaling": temperature},
        }
    )
    train_evaluator(config, log, tmp_path / "run")
    return load_log_tables(log), tmp_path / "run" / "best.pt"


@pytest.mark.parametrize("kind", ["nlgr", "context", "pair"])
def test_fit_click_logit_scale_recovers_known_factor(kind: str, tmp_path: Path):
    tables, path = trained(tmp_path, kind)
    rows = torch.arange(len(tables.part))
    sharper = read_checkpoint(path).load_evaluator()
    sharper.scale_click_logits(FACTOR)
    p, _ = predict_shown_lists(sharper, BatchLoader(tables), rows)
    answered = BatchLoader(replace(tables, clicks=p.numpy().astype(np.float32)))
    net = read_checkpoint(path).load_evaluator()

    found = fit_click_logit_scale(net, answered, rows)

    assert found == pytest.approx(FACTOR, abs=0.02)
    again, _ = predict_shown_lists(net, answered, rows)
    assert torch.allclose(again, p, atol=2e-3)


def test_train_evaluator_records_click_logit_scale(tmp_path: Path):
    _, plain = trained(tmp_path / "plain", "pair")
    tables, path = trained(tmp_path / "scaled", "pair", temperature=True)
    before, after = read_checkpoint(plain), read_checkpoint(path)
    factor = after.metadata[CLICK_LOGIT_SCALE]

    assert CLICK_LOGIT_SCALE not in before.metadata
    assert abs(math.log(factor)) > 0.01
    expected = before.load_evaluator()
    expected.scale_click_logits(factor)
    rows = torch.arange(20)
    want, _ = predict_shown_lists(expected, BatchLoader(tables), rows)
    got, _ = predict_shown_lists(after.load_evaluator(), BatchLoader(tables), rows)
    assert torch.allclose(got, want, atol=1e-5)


def test_calibrate_checkpoint_scales_only_once(tmp_path: Path):
    tables, path = trained(tmp_path, "pair", temperature=True)
    said = path.read_bytes()
    facts = read_checkpoint(path).metadata

    numbers = calibrate_checkpoint(path, BatchLoader(tables), torch.arange(20))

    assert path.read_bytes() == said
    assert numbers == facts["validation"]
