from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint import read_checkpoint
from model.config.pipeline_config import PipelineConfig
from model.data.tables.split import TRAIN, first_user_half_mask
from model.data.tables.table_cache import build_log_tables
from model.nets.evaluators.context_evaluator import ContextEvaluator
from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.training.evaluator import (
    EvaluatorTrainingTask,
    bayesian_bootstrap_weights,
    tuning_hint,
)
from tests.relist_command import run_relist
from tests.toy_log import write_toy_log


@pytest.mark.parametrize("half", ["first_half", "second_half"])
def test_train_rows_of_half_users_are_complete(half: str, tmp_path: Path):
    tables = build_log_tables(write_toy_log(tmp_path / "log"), history_length=3)
    config = PipelineConfig.from_mapping({"train_evaluator": {"users": half}})

    rows = EvaluatorTrainingTask(config, tables, "cpu", tmp_path).train_rows().numpy()

    mine = first_user_half_mask(tables.users.ids) == (half == "first_half")
    expected = np.flatnonzero((tables.part == TRAIN) & mine[tables.user_index])
    assert 0 < len(rows) < (tables.part == TRAIN).sum()
    assert rows.tolist() == expected.tolist()


def test_train_rows_even_and_odd_are_disjoint(tmp_path: Path):
    tables = build_log_tables(write_toy_log(tmp_path / "log"), history_length=3)
    halves = [
        EvaluatorTrainingTask(
            PipelineConfig.from_mapping({"train_evaluator": {"lists": lists}}),
            tables,
            "cpu",
            tmp_path,
        ).train_rows()
        for lists in ("even", "odd")
    ]

    even, odd = (set(rows.tolist()) for rows in halves)
    assert not even & odd
    assert even | odd == set(np.flatnonzero(tables.part == TRAIN).tolist())
    users = [{int(tables.user_index[row]) for row in rows} for rows in (even, odd)]
    assert len(users[0] & users[1]) > len(users[0]) / 2


def task_of(tmp_path: Path, kind: str, **training: float | bool) -> EvaluatorTrainingTask:
    """A small evaluator about to learn a toy log."""
    tables = build_log_tables(write_toy_log(tmp_path / "log"), history_length=3)
    evaluator = {"kind": kind, "members": 2, "hidden": 8}
    config = PipelineConfig.from_mapping({"evaluator": evaluator, "train_evaluator": training})
    return EvaluatorTrainingTask(config, tables, "cpu", tmp_path)


def test_batch_size_of_small_log_is_small(tmp_path: Path):
    def batch(**training: float) -> tuple[int, int]:
        task = task_of(tmp_path, "pair", **training)
        return task.batch_size(), len(task.train_rows())

    by_steps, rows = batch(min_steps_per_epoch=2, max_batch_size=5000)
    assert by_steps == rows // 2
    assert batch(min_steps_per_epoch=2, max_batch_size=3)[0] == 3
    assert (
        batch(min_steps_per_epoch=rows, min_batch_size=7)[0] == 7
    )  # one list a step would be noise


def test_bootstrap_weights_are_independent_with_mean_one():
    weights = bayesian_bootstrap_weights(3, 4000, seed=1)

    assert torch.equal(weights, bayesian_bootstrap_weights(3, 4000, seed=1))
    assert weights.min() >= 0
    # the mean of 4000 draws of Exp(1) has standard deviation 1 / sqrt(4000) = .016
    assert weights.mean(dim=1).tolist() == pytest.approx([1.0] * 3, abs=0.08)
    assert torch.corrcoef(weights)[0, 1].abs() < 0.08


def test_train_step_with_bootstrap_changes_loss(tmp_path: Path):
    rows = torch.arange(4)
    plain = task_of(tmp_path / "plain", "pair", unknown_share=0.0, prefix_share=0.0)
    drawn = task_of(tmp_path / "drawn", "pair", unknown_share=0.0, prefix_share=0.0, bootstrap=True)
    plain.net.eval()
    drawn.net.eval()  # without dropout both predict the same

    assert plain.train_step(rows, 0.0)["loss"] != pytest.approx(
        drawn.train_step(rows, 0.0)["loss"], rel=1e-3
    )


@pytest.mark.parametrize(("kind", "net"), [("context", ContextEvaluator), ("pair", PairEvaluator)])
def test_optimizer_groups_have_configured_decay_and_rate(
    kind: str, net: type[ContextEvaluator | PairEvaluator], tmp_path: Path
):
    decays = {"embedding_decay": 2.0, "weight_decay": 0.5, "pair_residual_decay": 0.7}
    task = task_of(tmp_path, kind, structural_lr=0.04, **decays)
    assert isinstance(task.net.evaluator, net)
    groups = {id(p): group for group in task.optimizer.param_groups for p in group["params"]}

    assert set(groups) == {id(p) for p in task.net.parameters()}
    for table in (task.net.evaluator.embedding.weight, task.net.evaluator.factor_embedding.weight):
        assert groups[id(table)]["weight_decay"] == 2.0
    for weight in task.net.evaluator.bias_params():
        assert groups[id(weight)]["weight_decay"] == 0.25
        assert groups[id(weight)]["lr"] == 0.04
    for weight in [*task.net.evaluator.structural_params(), *task.net.auxiliary_params()]:
        assert groups[id(weight)]["lr"] == 0.04
        assert groups[id(weight)]["weight_decay"] == 0.0
    assert bool(task.net.evaluator.pair_residual_params()) == (kind == "pair")
    for weight in task.net.evaluator.pair_residual_params():
        assert groups[id(weight)]["lr"] == 0.04
        assert groups[id(weight)]["weight_decay"] == 0.7


def test_save_best_checkpoint_writes_averaged_weights(tmp_path: Path):
    task = task_of(tmp_path, "pair", ema_decay=0.9)
    rows = task.train_rows()
    for _ in range(5):
        task.train_step(rows[:8], 0.0)
    table = task.net.evaluator.embedding.weight
    last = table.detach().clone()

    task.save_best_checkpoint(task.validate())

    kept = read_checkpoint(tmp_path).weights["embedding.weight"]
    assert torch.equal(table, last)
    assert not torch.equal(kept, last)
    assert torch.equal(kept, task.optimizer.state[table]["average"])


@pytest.mark.parametrize(
    ("best", "epochs", "says"),
    [
        (1, 4, "overfits"),
        (4, 7, None),
        (7, 7, "more epochs may be better"),
        (1, 1, "more epochs may be better"),
    ],
)
def test_tuning_hint_depends_on_best_epoch(best: int, epochs: int, says: str | None):
    hint = tuning_hint(best, epochs)

    assert (hint is None) == (says is None)
    assert says is None or says in str(hint)


def test_evaluator_command_reports_checkpoint_and_hint(tmp_path: Path, capsys):
    log = write_toy_log(tmp_path / "log")
    config = tmp_path / "config.toml"
    config.write_text("[evaluator]\nmembers = 1\n[train_evaluator]\nepochs = 1\n")

    assert (
        run_relist("train", "evaluator", "--log", log, "--config", config, "--out", tmp_path / "e")
        == 0
    )

    last, hint = capsys.readouterr().err.splitlines()[-2:]
    assert last.startswith(f"evaluator: {tmp_path / 'e' / 'best.pt'} (validation: auc ")
    assert hint.startswith("evaluator: the last of 1 epochs was the best one")
