"""Builds every registered method on a log from disk and checks its lists for test requests."""

from pathlib import Path

import pytest
import torch

from model.baselines.frozen_evaluator import FrozenEvaluator
from model.baselines.registry import BASELINE_METHODS, BaselineInputs
from model.config.pipeline_config import EvaluatorConfig, EvaluatorTrainingConfig, PipelineConfig
from model.contract.scoring.objective import RewardWeights
from model.data.tables.batches import BatchLoader
from model.data.tables.split import TEST
from model.data.tables.table_cache import build_log_tables
from model.nets.build import build_evaluator
from model.nets.field_layout import FieldLayout
from tests.model.baselines.brand_click_data import require_valid_lists
from tests.toy_log import write_toy_log

CONFIG = PipelineConfig(
    evaluator=EvaluatorConfig(hidden=16), train_evaluator=EvaluatorTrainingConfig(epochs=1, seed=3)
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> BaselineInputs:
    log = write_toy_log(tmp_path_factory.mktemp("log"), requests=36, users=4, candidates=7, slots=3)
    tables = build_log_tables(log, history_length=3)
    evaluator = build_evaluator(
        CONFIG.evaluator, FieldLayout.from_schema(tables.schema), tables.slots
    ).eval()
    return BaselineInputs(
        tables=tables,
        config=CONFIG,
        evaluator=FrozenEvaluator(evaluator.requires_grad_(False), RewardWeights()),
        evaluator_id="fresh weights",
        folder=tmp_path_factory.mktemp("runs"),
    )


@pytest.mark.parametrize("name", BASELINE_METHODS)
def test_baseline_methods_built_on_log_propose_valid_lists(name: str, inputs: BaselineInputs):
    ranker = BASELINE_METHODS[name].build(inputs)

    rows = inputs.tables.part_rows(TEST)[:5]
    request = BatchLoader(inputs.tables).gather(rows).request
    assert request.cand_valid.sum(dim=1).unique().numel() > 1, "the test needs ragged requests"
    lists = ranker.propose(request, 4, torch.Generator().manual_seed(0))
    require_valid_lists(lists, request, 4)


def test_baseline_methods_with_paper_cite_it_in_module():
    folder = Path(__file__).parents[3] / "model" / "baselines"
    docs = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    docs = docs.replace((folder / "registry.py").read_text(encoding="utf-8"), "")
    for name, method in BASELINE_METHODS.items():
        if method.paper:
            assert method.paper in docs, f"{name}: {method.paper}"
