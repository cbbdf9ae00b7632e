"""Every named method is made ready on a log from disk and proposes real lists to its test part."""

from pathlib import Path

import pytest
import torch

from model.baselines.judge import Judge
from model.baselines.registry import METHODS, Materials
from model.config import Config, EvaluatorConfig, EvaluatorTraining
from model.contract.choice import Objective
from model.data.batches import Gatherer
from model.data.split import TEST
from model.data.tables import prepare
from model.nets.build import build_evaluator
from model.nets.shape import Fields
from tests.logs import write_toy_log
from tests.model.baselines.brand_problem import require_lists

CONFIG = Config(
    evaluator=EvaluatorConfig(hidden=16), train_evaluator=EvaluatorTraining(epochs=1, seed=3)
)


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Materials:
    log = write_toy_log(tmp_path_factory.mktemp("log"), requests=36, users=4, candidates=7, slots=3)
    tables = prepare(log, sessions=3)
    evaluator = build_evaluator(CONFIG.evaluator, Fields.of(tables.schema), tables.slots).eval()
    return Materials(
        tables=tables,
        config=CONFIG,
        judge=Judge(evaluator.requires_grad_(False), Objective()),
        judge_id="fresh weights",
        folder=tmp_path_factory.mktemp("runs"),
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_made_ready_on_a_log_and_proposes_real_lists(name: str, materials: Materials):
    ranker = METHODS[name].build(materials)

    rows = materials.tables.rows_of(TEST)[:5]
    request = Gatherer(materials.tables).gather(rows).request
    assert request.cand_valid.sum(dim=1).unique().numel() > 1, "the requests looked at are ragged"
    lists = ranker.propose(request, 4, torch.Generator().manual_seed(0))
    require_lists(lists, request, 4)


def test_every_method_of_a_paper_names_it_where_it_is_written():
    folder = Path(__file__).parents[3] / "model" / "baselines"
    docs = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    docs = docs.replace((folder / "registry.py").read_text(encoding="utf-8"), "")
    for name, method in METHODS.items():
        if method.paper:
            assert method.paper in docs, f"{name}: {method.paper}"
