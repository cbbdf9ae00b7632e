"""Training of learned baselines by the shared loop, on a toy log from disk."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.baselines.baseline_training import BaselineRunOptions, fit_baseline
from model.baselines.pointwise import Pointwise
from model.baselines.ranker import NetDimensions
from model.config.pipeline_config import EvaluatorConfig, EvaluatorTrainingConfig
from model.data.tables.log_tables import LogTables
from model.data.tables.table_cache import build_log_tables
from tests.toy_log import write_toy_log

TRAINING = EvaluatorTrainingConfig(epochs=3, patience=3, lr=0.01, seed=5)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> LogTables:
    return build_log_tables(
        write_toy_log(tmp_path_factory.mktemp("log"), requests=36, users=4), history_length=3
    )


def pointwise(tables: LogTables) -> Pointwise:
    return Pointwise(NetDimensions.from_tables(tables, EvaluatorConfig(hidden=16)))


def epochs(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "epochs.jsonl").read_text().splitlines()]


def test_fit_baseline_second_call_reads_best_epoch(tables: LogTables, tmp_path: Path):
    run = BaselineRunOptions(
        training=replace(TRAINING, lr=0.05, epochs=4, patience=1), folder=tmp_path
    )

    first = fit_baseline("pointwise", lambda: pointwise(tables), tables, run)
    trained = epochs(tmp_path)
    second = fit_baseline("pointwise", lambda: pointwise(tables), tables, run)

    losses = [epoch["loss"] for epoch in trained]
    assert len(losses) == min(4, losses.index(min(losses)) + 1 + 1)  # patience ends it
    assert epochs(tmp_path) == trained
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name]), name
    assert not any(weights.requires_grad for weights in first.parameters())


def test_fit_baseline_depends_on_seed_not_global_rng(tables: LogTables, tmp_path: Path):
    one_epoch = replace(TRAINING, epochs=1)
    torch.manual_seed(1)
    first = fit_baseline(
        "p",
        lambda: pointwise(tables),
        tables,
        BaselineRunOptions(training=one_epoch, folder=tmp_path / "1"),
    )
    torch.manual_seed(2)
    same = fit_baseline(
        "p",
        lambda: pointwise(tables),
        tables,
        BaselineRunOptions(training=one_epoch, folder=tmp_path / "2"),
    )
    other_seed = BaselineRunOptions(training=replace(one_epoch, seed=6), folder=tmp_path / "3")
    other = fit_baseline("p", lambda: pointwise(tables), tables, other_seed)

    assert torch.equal(first.tokens.merge.weight, same.tokens.merge.weight)
    assert not torch.equal(first.tokens.merge.weight, other.tokens.merge.weight)


def test_fit_baseline_other_identity_trains_again(tables: LogTables, tmp_path: Path):
    run = BaselineRunOptions(
        training=replace(TRAINING, epochs=1), folder=tmp_path, extra_identity="evaluator a"
    )
    fit_baseline("p", lambda: pointwise(tables), tables, run)
    before = (tmp_path / "best.pt").stat().st_mtime_ns

    fit_baseline("p", lambda: pointwise(tables), tables, run)
    assert (tmp_path / "best.pt").stat().st_mtime_ns == before
    fit_baseline("p", lambda: pointwise(tables), tables, replace(run, extra_identity="evaluator b"))
    assert (tmp_path / "best.pt").stat().st_mtime_ns > before


def test_fit_baseline_with_ema_returns_averaged_weights(tables: LogTables, tmp_path: Path):
    averaging = replace(TRAINING, epochs=1, ema_decay=0.9, max_batch_size=4)  # several steps

    kept = fit_baseline(
        "p",
        lambda: pointwise(tables),
        tables,
        BaselineRunOptions(training=averaging, folder=tmp_path / "average"),
    )

    plain = fit_baseline(
        "p",
        lambda: pointwise(tables),
        tables,
        BaselineRunOptions(training=replace(averaging, ema_decay=0.0), folder=tmp_path / "plain"),
    )
    # the steps are the same, so what differs is the averaging
    last = torch.load(tmp_path / "average" / "last.pt", weights_only=True)["net"]
    for name, weights in plain.state_dict().items():
        assert torch.equal(last[name], weights), name
    moved = [n for n, w in kept.state_dict().items() if not torch.equal(w, last[n])]
    assert moved
