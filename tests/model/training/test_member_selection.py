"""Click models that later lists do not support are dropped, with all of their weights."""

from pathlib import Path

import pytest
import torch

from model.checkpoint import read_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.tables.batches import BatchLoader
from model.data.tables.table_cache import load_log_tables
from model.search.scorer import predict_shown_lists_by_member
from model.training.evaluator import train_evaluator
from model.training.member_selection import (
    CLICK_MODEL_WEIGHTS,
    fit_mixture_weights,
    keep_members,
    select_members,
)
from tests.toy_log import write_toy_log

MODELS = ("position", "position", "choice", "cascade")


def simulated_clicks(p: torch.Tensor) -> torch.Tensor:
    return torch.bernoulli(p, generator=torch.Generator().manual_seed(2))


def test_mixture_weights_prefer_model_that_generated_clicks():
    rng = torch.Generator().manual_seed(1)
    true = torch.rand(4000, 4, generator=rng) * 0.5
    wrong = torch.rand(4000, 4, generator=rng) * 0.5
    valid = torch.ones(4000, 4, dtype=torch.bool)

    weights = fit_mixture_weights(torch.stack([wrong, true]), simulated_clicks(true), valid)

    assert weights.sum().item() == pytest.approx(1.0)
    assert weights[1] > 0.8


def test_mixture_weights_of_equal_models_are_equal():
    p = torch.full((3, 100, 4), 0.2)
    valid = torch.ones(100, 4, dtype=torch.bool)
    valid[:, 2:] = False

    weights = fit_mixture_weights(p, simulated_clicks(p[0]), valid)

    assert weights.tolist() == pytest.approx([1 / 3] * 3)


def trained(folder: Path, click_models: tuple[str, ...]) -> tuple[BatchLoader, Path]:
    log = write_toy_log(folder / "log", requests=120, users=12, items=20)
    sizes = {"members": len(click_models), "hidden": 8, "factor_width": 4}
    config = PipelineConfig.from_mapping(
        {
            "evaluator": {"click_models": click_models, **sizes},
            "train_evaluator": {
                "epochs": 1,
                "temperature_scaling": False,
                "member_selection": False,
            },
        }
    )
    train_evaluator(config, log, folder / "run")
    return BatchLoader(load_log_tables(log)), folder / "run" / "best.pt"


def test_kept_members_predict_as_before(tmp_path: Path):
    loader, path = trained(tmp_path, MODELS)
    whole, rows = read_checkpoint(path), torch.arange(40)
    before, _ = predict_shown_lists_by_member(whole.load_evaluator(), loader, rows)

    kept = keep_members(whole, [1, 3])
    after, _ = predict_shown_lists_by_member(kept.load_evaluator(), loader, rows)

    assert kept.config.evaluator.member_click_models == ("position", "cascade")
    assert torch.allclose(after, before[[1, 3]], atol=1e-6)


def test_select_members_records_weights_and_runs_once(tmp_path: Path):
    loader, path = trained(tmp_path, MODELS)
    rows = torch.arange(120)

    weights = select_members(path, loader, rows)
    selected = path.read_bytes()

    assert set(weights) == {"position", "choice", "cascade"}
    assert read_checkpoint(path).metadata[CLICK_MODEL_WEIGHTS] == weights
    assert select_members(path, loader, rows) == weights
    assert path.read_bytes() == selected


def test_select_members_keeps_single_click_model(tmp_path: Path):
    loader, path = trained(tmp_path, ("cascade", "cascade"))

    assert select_members(path, loader, torch.arange(120)) == {}
    assert read_checkpoint(path).config.evaluator.members == 2
