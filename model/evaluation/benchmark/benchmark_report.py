"""Writes the page, the figures and the JSON file of a benchmark from finished jobs."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from model.evaluation.benchmark import figures
from model.evaluation.benchmark.benchmark_page import ScenarioReport, render_page
from model.evaluation.benchmark.benchmark_plan import BenchmarkPlan
from model.evaluation.benchmark.benchmark_run import collect_results
from model.evaluation.benchmark.benchmark_scenario import benchmark_rows, scenario_tables
from model.evaluation.benchmark.job_cache import BenchmarkJob, JobCache
from model.evaluation.benchmark.metric_results import MetricResult

EVALUATOR_CURVES = {
    "auc": "AUC, validation",
    "logloss": "LogLoss, validation",
    "train_loss": "loss",
}
GENERATOR_CURVES = {
    "gain": "gain of the single list",
    "entropy_pdu": "entropy of the PDU, nats",
    "entropy_cru": "entropy of the CRU, nats",
    "unchanged": "share of unchanged lists",
}
GRADIENT_CURVES = {
    "train_grad_cru": "|gradient of L1| at the CRU",
    "train_grad_pdu": "|gradient of alpha L2| at the PDU",
    "gain": "gain of the single list, validation",
}
TrainingCurves = dict[str, list[dict[str, float]]]


def write_benchmark_report(
    folder: Path, plans: Sequence[BenchmarkPlan], cache: JobCache, command: str
) -> Path:
    """Write `report.md`, `report.json` and PNG figures to any folder; returns the page.

    The page links its figures by file name, so the folder can be moved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = collect_results(plans, cache)
    facts = _run_facts(plans, command)
    raw = {"facts": facts, "rows": [row.as_json() for row in rows]}
    (folder / "report.json").write_text(json.dumps(raw, indent=0) + "\n", encoding="utf-8")
    reports = [_scenario_report(plan, cache, rows, folder) for plan in plans]
    page = folder / "report.md"
    page.write_text(render_page(reports, facts), encoding="utf-8")
    return page


def _scenario_report(
    plan: BenchmarkPlan, cache: JobCache, results: Sequence[MetricResult], folder: Path
) -> ScenarioReport:
    scenario = plan.scenario
    return ScenarioReport(
        scenario=scenario,
        log_summary=_log_summary(plan),
        results=results,
        figures=_draw_figures(plan, cache, results, folder),
        neighborhood=cache.read_values(neighbors) if (neighbors := plan.neighborhood_job()) else {},
        overestimation=cache.read_values(overestimation)
        if (overestimation := plan.overestimation_job())
        else {},
    )


def _log_summary(plan: BenchmarkPlan) -> str:
    scenario = plan.scenario
    tables = scenario_tables(scenario)
    train, validation, test = (int((tables.part == part).sum()) for part in range(3))
    return (
        f"{train:,} training, {validation:,} validation and {test:,} test lists of {tables.slots} "
        f"slots, up to {tables.max_candidates} candidates; {len(benchmark_rows(scenario)):,} test "
        f"requests measured; seeds {', '.join(map(str, scenario.seeds))}."
    )


def _draw_figures(
    plan: BenchmarkPlan, cache: JobCache, results: Sequence[MetricResult], folder: Path
) -> dict[str, str]:
    name = plan.scenario.name

    def path(kind: str) -> Path:
        return folder / f"{name}_{kind}.png"

    first = plan.scenario.seeds[0]

    def curves(jobs: Mapping[str, BenchmarkJob]) -> TrainingCurves:
        return {run: cache.read_values(job)["epochs"] for run, job in jobs.items()}

    tau = curves({run: by[first] for run, by in plan.variant_jobs("tau").items()})
    cru_losses = curves({run: by[first] for run, by in plan.variant_jobs("cru_loss").items()})
    evaluators = curves({f"seed {seed}": job for seed, job in plan.evaluator_jobs().items()})
    generators = curves({f"seed {seed}": job for seed, job in plan.generator_jobs().items()})
    drawn = {
        "value": figures.plot_value_against_latency(results, name, path("value")),
        "holdout": figures.plot_holdout_evaluators(results, name, path("holdout")),
        "risk_curve": figures.plot_risk_curve(results, name, path("risk_curve")),
        "ablations": figures.plot_ablations(results, name, path("ablations")),
        "gradients": figures.plot_training_curves(tau, GRADIENT_CURVES, path("gradients")),
        "evaluators": figures.plot_training_curves(
            evaluators, EVALUATOR_CURVES, path("evaluators")
        ),
        "generators": figures.plot_training_curves(
            generators, GENERATOR_CURVES, path("generators")
        ),
        "cru_loss": figures.plot_training_curves(cru_losses, GENERATOR_CURVES, path("cru_loss")),
    }
    neighbors = plan.neighborhood_job()
    if neighbors is not None:
        gains = cache.read_arrays(neighbors)
        drawn["neighbors"] = figures.plot_neighbor_gains(
            gains["input"], gains["single"], path("neighbors")
        )
    return {kind: path(kind).name for kind, done in drawn.items() if done}


def _run_facts(plans: Sequence[BenchmarkPlan], command: str) -> dict[str, str]:
    return {
        "command": f"`{command}`",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "code": _code_version(),
        "machine": f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}",
        "configurations": "; ".join(
            f"{scenario.name}: evaluator {scenario.config.evaluator.kind}, "
            f"{scenario.config.evaluator.members} members, "
            f"risk aversion {scenario.config.serving.risk_aversion:g}"
            for scenario in (plan.scenario for plan in plans)
        ),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _code_version() -> str:
    """The git commit of this code, or a note that it is not in a git clone."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "not in a git clone"
