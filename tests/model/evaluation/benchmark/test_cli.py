"""The benchmark from end to end on a toy log; measured times and values are not checked."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from model.config.pipeline_config import PipelineConfig
from model.evaluation.benchmark.benchmark_plan import RISK_AVERSIONS, BenchmarkPlan
from model.evaluation.benchmark.benchmark_run import EvaluatorTooWeak, run_benchmark
from model.evaluation.benchmark.benchmark_scenario import NLGR_METHOD, RELIST_METHOD
from model.evaluation.benchmark.job_cache import JobCache
from model.evaluation.benchmark.scenario_presets import QUICK_SIZE, custom_log_scenario
from tests.relist_command import run_relist
from tests.toy_log import write_toy_log

COMPARED_METHODS = ("input_order", "pointwise", "prm", "random", "exact")
CONFIG = """
[evaluator]
hidden = 16
members = 2
[train_evaluator]
lr = 0.01
member_selection = false
[generator]
hidden = 16
edits = 2
[serving]
risk_aversion = 0.0
min_relative_gain = 0.0
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    log = write_toy_log(
        folder / "log", requests=700, users=25, items=25, candidates=6, slots=3, all_labels=True
    )
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    command = ["--quick", "--log", str(log), "--config", str(folder / "config.toml")]
    command += [
        "--methods",
        ",".join(COMPARED_METHODS),
        "--experiments",
        "holdout,overestimation,tau,neighbors",
    ]
    command += ["--work", str(folder / "work"), "--out", str(folder / "out"), "--processes", "2"]
    assert run_relist("benchmark", *command) == 0
    assert run_relist("benchmark", *command) == 0, "a second run reads the cache"
    return folder


def report_results(report: Path) -> list[dict[str, object]]:
    return list(json.loads((report / "out" / "report.json").read_text(encoding="utf-8"))["rows"])


def result_value(report: Path, **wanted: object) -> float:
    wanted = {"experiment": "comparison", "seed": None, **wanted}
    rows = [row for row in report_results(report) if all(row[k] == v for k, v in wanted.items())]
    assert len(rows) == 1, (wanted, rows)
    return float(str(rows[0]["value"]))


def test_benchmark_every_method_has_results_and_figures(report: Path):
    page = (report / "out" / "report.md").read_text(encoding="utf-8")

    for method in (RELIST_METHOD, NLGR_METHOD, *COMPARED_METHODS):
        kind = "served1" if method == "exact" else "served8"
        assert math.isfinite(
            result_value(report, method=method, list_kind=kind, metric="value_ratio")
        )
        assert math.isfinite(result_value(report, method=method, list_kind=kind, metric="ndcg@6"))
        assert (
            result_value(
                report, experiment="times", seed=0, method=method, list_kind=kind, metric="ms"
            )
            > 0
        )
    pictures = sorted(path.name for path in (report / "out").glob("*.png"))
    assert len(pictures) == 6  # value, holdout, gradients, neighbors, evaluators, generators
    assert all(f"]({name})" in page for name in pictures)
    assert "tau 0.1" in page
    assert "0 in any other way" in page, "every neighbor is one edit away"


def test_value_ratio_input_order_zero_exact_search_one(report: Path):
    for measure in ("value_ratio", "reward_gain"):
        value = result_value(report, method="input_order", list_kind="single", metric=measure)
        assert value == pytest.approx(0.0, abs=1e-6)  # two float32 evaluations of one list
    assert result_value(
        report, method="exact", list_kind="served1", metric="value_ratio"
    ) == pytest.approx(1)
    assert result_value(report, method="exact", list_kind="served1", metric="hr@1%") == 1.0
    assert result_value(report, method="input_order", list_kind="single", metric="unchanged") == 1.0


def test_served_value_ratio_more_lists_never_lower(report: Path):
    def ratios_of(method: str) -> list[float]:
        return [
            result_value(report, method=method, list_kind=f"served{count}", metric="value_ratio")
            for count in (1, 2, 4, 8, 16, 32, 64)
        ]

    for method in (NLGR_METHOD, "pointwise", "random"):
        ratios = ratios_of(method)
        assert ratios == sorted(ratios)
        assert ratios[0] >= 0.0, "the input list is always a candidate"
    # Relist refines the selected list, so more lists may end in another local optimum
    single_ratio = result_value(
        report, method=RELIST_METHOD, list_kind="single", metric="value_ratio"
    )
    assert min(ratios_of(RELIST_METHOD)) > single_ratio


def test_holdout_value_ratio_of_exact_search_below_one(report: Path):
    selecting = result_value(
        report, experiment="holdout", method="exact", list_kind="served1", metric="value_ratio"
    )
    holdout = result_value(
        report,
        experiment="holdout",
        method="exact",
        list_kind="served1",
        metric="holdout_value_ratio",
    )

    assert selecting == pytest.approx(1.0)
    assert holdout < 1.0


def test_risk_curve_larger_risk_aversion_leaves_more_unchanged(report: Path):
    unchanged = [
        result_value(
            report,
            experiment="risk_curve",
            method=RELIST_METHOD,
            list_kind=f"risk_aversion{weight:g}",
            metric="unchanged",
        )
        for weight in RISK_AVERSIONS
    ]
    predicted_gains = [
        result_value(
            report,
            experiment="risk_curve",
            method=RELIST_METHOD,
            list_kind=f"risk_aversion{weight:g}",
            metric="reward_gain",
        )
        for weight in RISK_AVERSIONS
    ]

    assert unchanged == sorted(unchanged)
    assert predicted_gains[-1] <= predicted_gains[0]
    assert predicted_gains[0] == max(predicted_gains), (
        "without risk aversion the highest mean reward is served"
    )


def test_benchmark_page_shows_covering_risk_aversion(report: Path):
    page = (report / "out" / "report.md").read_text(encoding="utf-8")

    assert "at most the gain by the holdout evaluator: **" in page
    assert "| risk aversion | predicted gain |" in page


def test_benchmark_without_ground_truth_omits_true_metrics(report: Path):
    assert not [row for row in report_results(report) if str(row["metric"]).startswith("true")]


def test_run_benchmark_evaluator_below_popularity_raises(tmp_path: Path):
    log = write_toy_log(tmp_path / "log", requests=300, users=10, candidates=6, slots=3)
    training = {"epochs": 1, "lr": 1e-9, "structural_lr": 1e-9}
    no_order = {"click_models": ["position"]}  # an untrained cascade knows that clicks fall by slot
    untrained = PipelineConfig.from_mapping({"evaluator": no_order, "train_evaluator": training})
    plan = BenchmarkPlan(custom_log_scenario(log, untrained, QUICK_SIZE))

    with pytest.raises(EvaluatorTooWeak, match=r"AUC is 0\.\d+, that of popularity 0\.\d+"):
        run_benchmark([plan], JobCache(tmp_path / "cache"), processes=1)

    trained = [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith("Eval")]
    assert trained == []


def test_cli_unknown_method_lists_known_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = write_toy_log(tmp_path / "log", requests=60, users=6, candidates=6, slots=3)

    assert run_relist("benchmark", "--log", log, "--methods", "prm,guess", "--work", tmp_path) == 2

    assert "--methods guess: is none of input_order, popularity" in capsys.readouterr().err


def test_served_rewards_never_below_input_list(report: Path):
    cache = JobCache(report / "work" / "cache")
    folders = [path for path in cache.root.iterdir() if path.name.startswith("ListMetricsJob")]
    for path in folders:
        with np.load(path / "arrays.npz", allow_pickle=False) as file:
            best = max(
                name
                for name in file.files
                if name.startswith(("reward.served", "reward.risk_aversion"))
            )
            assert (file[best] >= file["reward.input"] - 1e-6).all()


def test_cli_unknown_scenario_builds_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run_relist("benchmark", "--scenario", "guess", "--work", tmp_path / "work") == 2

    assert "--scenario guess: is none of world_4of12, world_5of5" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_cli_zero_processes_is_refused(capsys: pytest.CaptureFixture[str]):
    assert run_relist("benchmark", "--processes", "0") == 2

    assert "greater than or equal to 1" in capsys.readouterr().err
