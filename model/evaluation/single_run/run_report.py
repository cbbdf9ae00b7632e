"""Writes the metrics of one run as a Markdown page and a JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.evaluation.logged_lists import MetricValues
from model.evaluation.single_run.overestimation_deciles import Decile
from model.evaluation.single_run.run_metrics import MetricEstimates, RunMetrics

_MEANING = {
    "hr@1%": "share of requests whose list is in the best 1 % by the evaluator",
    "hr@10%": "share of requests whose list is in the best 10 % by the evaluator",
    "unchanged": "share of requests whose list equals the input list",
    "overestimation": "predicted reward / actual reward - 1",
    "reward": "reward a request, by the evaluator",
    "reward_gain": "gain in reward over the input list, by the evaluator",
    "value_ratio": "value ratio: gain in reward as a share of the best list's gain",
    "true_gain": "true gain over the input list, expected clicks a request (simulated)",
    "true_share": "true gain as a share of the best list's gain (simulated)",
    "truly_worse": "share of requests with fewer expected clicks than the input (simulated)",
    "true": "expected clicks a request (simulated)",
}
_QUALITY = {"ndcg": "NDCG", "map": "MAP", "precision": "Precision", "f1": "F1"}
_ABOVE_INPUT_SUFFIX = "_above_input"


def write_run_report(
    folder: Path,
    facts: dict[str, Any],
    logged_metrics: dict[str, MetricValues],
    metrics: RunMetrics,
) -> Path:
    """Write `report.md` and `report.json` to the folder; returns the path of the page.

    Args:
        folder: created if missing.
        facts: name -> value, printed above the tables; needs `log` and `simulated`.
        logged_metrics: result of `evaluate_on_logged_lists`.
        metrics: result of `evaluate_run`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deciles = [asdict(d) | {"overestimation": d.overestimation} for d in metrics.deciles]
    raw = {
        "facts": facts,
        "logged": logged_metrics,
        "metrics": metrics.estimates,
        "deciles": deciles,
    }
    (folder / "report.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    page = folder / "report.md"
    parts = (
        _title_section(facts),
        _logged_lists_section(logged_metrics),
        _estimates_section(metrics.estimates),
        _deciles_section(metrics.deciles),
    )
    page.write_text("\n".join(line for part in parts for line in part) + "\n", encoding="utf-8")
    return page


def _title_section(facts: dict[str, Any]) -> list[str]:
    simulated = "Feedback is simulated. Values marked as simulated hold in the click world only."
    return [
        f"# Evaluation: {facts['log']}",
        "",
        *([simulated, ""] if facts["simulated"] else []),
        *[f"- {name}: {value}" for name, value in facts.items()],
        "",
    ]


def _logged_lists_section(logged: dict[str, MetricValues]) -> list[str]:
    names = ("auc", "gauc", "ndcg@5", "ndcg@10", "logloss", "ece", "ece_by_chance")
    lines = [
        "## Evaluator on logged lists of the test part",
        "",
        "AUC, GAUC and NDCG have no unit, `logloss` is in nats a slot. No intervals.",
        "",
        "| order | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for order, numbers in logged.items():
        cells = [f"{numbers[n]:.4f}" if n in numbers else "" for n in names]
        lines.append(f"| {order} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _estimates_section(estimates: MetricEstimates) -> list[str]:
    lines = [
        "## Lists of test requests",
        "",
        "`single` is list 0 (no noise), `served` the selected list. Brackets are 95 % bootstrap",
        "intervals over users.",
        "",
        "| metric | list | value | 95 % interval |",
        "|---|---|---|---|",
    ]
    for name, estimate in sorted(estimates.items()):
        metric, _, kind = name.rpartition("_")
        meaning = _MEANING.get(metric) or _label_metric_text(metric)
        interval = f"[{estimate.low:.4f}, {estimate.high:.4f}]"
        lines.append(f"| {meaning} | {kind} | {estimate.value:.4f} | {interval} |")
    return lines


def _label_metric_text(metric: str) -> str:
    """Description of `ndcg@10` or `ndcg@10_above_input`; other names unchanged."""
    name, _, cut = metric.removesuffix(_ABOVE_INPUT_SUFFIX).partition("@")
    if name not in _QUALITY:
        return metric
    words = f"{_QUALITY[name]}@{cut} by the labels of all candidates"
    return (
        f"{words}, difference to the input list" if metric.endswith(_ABOVE_INPUT_SUFFIX) else words
    )


def _deciles_section(deciles: list[Decile]) -> list[str]:
    if not deciles:
        return []
    lines = [
        "",
        "## Overestimation by decile",
        "",
        "Served lists in ascending order of predicted reward, a tenth of the requests a row.",
        "Mean rewards a request, without intervals.",
        "",
        "| decile | predicted reward | actual reward | overestimation |",
        "|---|---|---|---|",
    ]
    for number, decile in enumerate(deciles, start=1):
        rewards = f"{decile.predicted:.3f} | {decile.actual:.3f}"
        lines.append(f"| {number} | {rewards} | {decile.overestimation:+.1%} |")
    return lines
