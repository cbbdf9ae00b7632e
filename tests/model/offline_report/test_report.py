"""The report command from end to end on a toy log; times and values are whatever they are."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from model.config import Config
from model.offline_report.comparison.cli import main
from model.offline_report.comparison.jobs import Store
from model.offline_report.comparison.logs import QUICK, own_problem
from model.offline_report.comparison.plan import LAMBDAS, Plan
from model.offline_report.comparison.problems import OURS, PUBLISHED
from model.offline_report.comparison.results import EvaluatorTooWeak, run_plans
from tests.logs import write_toy_log

METHODS = ("input_order", "pointwise", "prm", "random", "exact")
CONFIG = """
[evaluator]
hidden = 16
members = 2
[train_evaluator]
lr = 0.01
[generator]
hidden = 16
edits = 2
[serving]
pessimism = 0.0
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    log = write_toy_log(
        folder / "log", requests=700, users=25, items=25, candidates=6, slots=3, truth=True
    )
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    command = ["--quick", "--log", str(log), "--config", str(folder / "config.toml")]
    command += ["--methods", ",".join(METHODS), "--experiments", "judges,optimism,tau,neighbors"]
    command += ["--work", str(folder / "work"), "--out", str(folder / "out"), "--processes", "2"]
    assert main(command) == 0
    assert main(command) == 0, "a second run reads what is kept"
    return folder


def rows(report: Path) -> list[dict[str, object]]:
    return list(json.loads((report / "out" / "report.json").read_text(encoding="utf-8"))["rows"])


def value(report: Path, **wanted: object) -> float:
    wanted = {"part": "comparison", "seed": None, **wanted}
    found = [row for row in rows(report) if all(row[k] == v for k, v in wanted.items())]
    assert len(found) == 1, (wanted, found)
    return float(str(found[0]["value"]))


def test_every_method_has_its_numbers_and_the_page_its_figures(report: Path):
    page = (report / "out" / "report.md").read_text(encoding="utf-8")

    for method in (OURS, PUBLISHED, *METHODS):
        kind = "served1" if method == "exact" else "served8"
        assert math.isfinite(value(report, method=method, lists=kind, measure="value_ratio"))
        assert math.isfinite(value(report, method=method, lists=kind, measure="ndcg@6"))
        assert value(report, part="times", seed=0, method=method, lists=kind, measure="ms") > 0
    pictures = sorted(path.name for path in (report / "out").glob("*.png"))
    assert len(pictures) == 6  # value, judges, gradients, neighbors, evaluators, generators
    assert all(f"]({name})" in page for name in pictures)
    assert "tau 0.1" in page
    assert "0 in any other way" in page, "a neighbor is one edit away"


def test_the_input_order_gains_nothing_and_the_exact_search_everything(report: Path):
    for measure in ("value_ratio", "reward_gain"):
        assert value(report, method="input_order", lists="single", measure=measure) == 0.0
    assert value(report, method="exact", lists="served1", measure="value_ratio") == pytest.approx(1)
    assert value(report, method="exact", lists="served1", measure="hr@1%") == 1.0
    assert value(report, method="input_order", lists="single", measure="unchanged") == 1.0


def test_more_lists_to_choose_from_never_serve_less_by_the_evaluator(report: Path):
    def ratios_of(method: str) -> list[float]:
        return [
            value(report, method=method, lists=f"served{count}", measure="value_ratio")
            for count in (1, 2, 4, 8, 16, 32, 64)
        ]

    for method in (PUBLISHED, "pointwise", "random"):
        ratios = ratios_of(method)
        assert ratios == sorted(ratios)
        assert ratios[0] >= 0.0, "the input list is always among those compared"
    # ours climb from what is chosen: from another list they may reach another top
    alone = value(report, method=OURS, lists="single", measure="value_ratio")
    assert min(ratios_of(OURS)) > alone


def test_the_two_judges_learned_from_different_users_and_disagree(report: Path):
    first = value(report, part="judges", method="exact", lists="served1", measure="value_ratio")
    second = value(report, part="judges", method="exact", lists="served1", measure="second_ratio")

    assert first == pytest.approx(1.0)
    assert second < 1.0


def test_a_larger_lambda_leaves_more_lists_as_they_came_in(report: Path):
    left = [
        value(report, part="caution", method=OURS, lists=f"lambda{weight:g}", measure="unchanged")
        for weight in LAMBDAS
    ]
    promised = [
        value(report, part="caution", method=OURS, lists=f"lambda{weight:g}", measure="reward_gain")
        for weight in LAMBDAS
    ]

    assert left == sorted(left)
    assert left[-1] > left[0]
    assert promised[0] == max(promised), "without caution the evaluator's favourite is served"


def test_the_page_says_which_lambda_the_log_asks_for(report: Path):
    page = (report / "out" / "report.md").read_text(encoding="utf-8")

    assert "no more than the other one expects: **" in page
    assert "| lambda | promised gain |" in page


def test_a_log_that_knows_no_truth_says_nothing_of_it(report: Path):
    assert not [row for row in rows(report) if str(row["measure"]).startswith("true")]


def test_an_evaluator_that_does_not_beat_popularity_stops_the_report(tmp_path: Path):
    log = write_toy_log(tmp_path / "log", requests=300, users=10, candidates=6, slots=3)
    training = {"epochs": 1, "lr": 1e-9, "structure_lr": 1e-9}
    untrained = Config.from_mapping({"train_evaluator": training})
    plan = Plan(own_problem(log, untrained, QUICK))

    with pytest.raises(EvaluatorTooWeak, match=r"AUC is 0\.\d+, that of popularity 0\.\d+"):
        run_plans([plan], Store(tmp_path / "kept"), processes=1)

    trained = [path for path in (tmp_path / "kept").iterdir() if not path.name.startswith("Eval")]
    assert trained == []


def test_a_name_that_is_no_method_is_refused_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    log = write_toy_log(tmp_path / "log", requests=60, users=6, candidates=6, slots=3)

    assert main(["--log", str(log), "--methods", "prm,guess", "--work", str(tmp_path)]) == 2

    assert "--methods guess: is none of input_order, popularity" in capsys.readouterr().err


def test_what_is_served_is_chosen_as_the_service_chooses(report: Path):
    store = Store(report / "work" / "kept")
    kept = [path for path in store.root.iterdir() if path.name.startswith("MeasureJob")]
    for path in kept:
        with np.load(path / "arrays.npz", allow_pickle=False) as file:
            best = max(
                name for name in file.files if name.startswith(("reward.served", "reward.lambda"))
            )
            assert (file[best] >= file["reward.input"] - 1e-6).all()


def test_a_problem_that_is_none_of_ours_is_refused_before_a_log_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["--problem", "guess", "--work", str(tmp_path / "work")]) == 2

    assert "--problem guess: is none of world_4of12, world_5of5" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_a_count_of_processes_below_one_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        main(["--processes", "0"])

    assert "0: is no whole number above 0" in capsys.readouterr().err
