"""From finished jobs to files: page, figures, numbers."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from model.offline_report.comparison import figures
from model.offline_report.comparison.jobs import Job, Store
from model.offline_report.comparison.page import Found, page_of
from model.offline_report.comparison.plan import Plan
from model.offline_report.comparison.problems import measured_rows, tables_of
from model.offline_report.comparison.results import all_rows
from model.offline_report.comparison.summary import Row

EVALUATOR_COURSE = {
    "auc": "AUC, validation",
    "logloss": "LogLoss, validation",
    "train_loss": "loss",
}
GENERATOR_COURSE = {
    "gain": "gain of the single list",
    "entropy_pdu": "entropy of the PDU, nats",
    "entropy_cru": "entropy of the CRU, nats",
    "unchanged": "share left unchanged",
}
GRADIENT_COURSE = {
    "train_grad_cru": "|gradient of L1| at the CRU",
    "train_grad_pdu": "|gradient of alpha L2| at the PDU",
    "gain": "gain of the single list, validation",
}
Course = dict[str, list[dict[str, float]]]


def write_report(folder: Path, plans: Sequence[Plan], store: Store, command: str) -> Path:
    """Write report.md, report.json and the figures; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = all_rows(plans, store)
    facts = _facts(plans, command)
    raw = {"facts": facts, "rows": [row.as_json() for row in rows]}
    (folder / "report.json").write_text(json.dumps(raw, indent=0) + "\n", encoding="utf-8")
    found = [_found(plan, store, rows, folder) for plan in plans]
    page = folder / "report.md"
    page.write_text(page_of(found, facts), encoding="utf-8")
    return page


def _found(plan: Plan, store: Store, rows: Sequence[Row], folder: Path) -> Found:
    problem = plan.problem
    return Found(
        problem=problem,
        shape=_shape(plan),
        rows=rows,
        figures=_figures(plan, store, rows, folder),
        neighbors=store.numbers(neighbors) if (neighbors := plan.neighbors()) else {},
        optimism=store.numbers(optimism) if (optimism := plan.optimism()) else {},
    )


def _shape(plan: Plan) -> str:
    problem = plan.problem
    tables = tables_of(problem)
    train, validation, test = (int((tables.part == part).sum()) for part in range(3))
    return (
        f"{train:,} training, {validation:,} validation and {test:,} test lists of {tables.slots} "
        f"slots, up to {tables.max_candidates} candidates; {len(measured_rows(problem)):,} test "
        f"requests measured; seeds {', '.join(map(str, problem.seeds))}."
    )


def _figures(plan: Plan, store: Store, rows: Sequence[Row], folder: Path) -> dict[str, str]:
    name = plan.problem.name

    def path(kind: str) -> Path:
        return folder / f"{name}_{kind}.png"

    first = plan.problem.seeds[0]

    def course(jobs: Mapping[str, Job]) -> Course:
        return {run: store.numbers(job)["epochs"] for run, job in jobs.items()}

    tau = course({run: by[first] for run, by in plan.variants("tau").items()})
    taught = course({run: by[first] for run, by in plan.variants("cru_loss").items()})
    evaluators = course({f"seed {seed}": job for seed, job in plan.evaluators().items()})
    generators = course({f"seed {seed}": job for seed, job in plan.generators().items()})
    drawn = {
        "value": figures.value_against_time(rows, name, path("value")),
        "judges": figures.three_judges(rows, name, path("judges")),
        "caution": figures.caution(rows, name, path("caution")),
        "ablations": figures.ablations(rows, name, path("ablations")),
        "gradients": figures.courses(tau, GRADIENT_COURSE, path("gradients")),
        "evaluators": figures.courses(evaluators, EVALUATOR_COURSE, path("evaluators")),
        "generators": figures.courses(generators, GENERATOR_COURSE, path("generators")),
        "cru_loss": figures.courses(taught, GENERATOR_COURSE, path("cru_loss")),
    }
    neighbors = plan.neighbors()
    if neighbors is not None:
        gains = store.arrays(neighbors)
        drawn["neighbors"] = figures.neighbor_gains(
            gains["input"], gains["single"], path("neighbors")
        )
    return {kind: path(kind).name for kind, done in drawn.items() if done}


def _facts(plans: Sequence[Plan], command: str) -> dict[str, str]:
    return {
        "command": f"`{command}`",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "code": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}",
        "configurations": "; ".join(
            f"{problem.name}: evaluator {problem.config.evaluator.kind}, "
            f"{problem.config.evaluator.members} members, "
            f"lambda {problem.config.serving.pessimism:g}"
            for problem in (plan.problem for plan in plans)
        ),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _commit() -> str:
    """The commit of the clone this code stands in; what pip installed has none."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else "not in a git clone"
