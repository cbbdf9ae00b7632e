"""The report as one Markdown page and one JSON file. Numbers come in, text goes out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.evaluation.logged_lists import MetricValues
from model.evaluation.single_run.overestimation_deciles import Decile
from model.evaluation.single_run.run_metrics import MetricEstimates, RunMetrics

_MEANING = {
    "hr@1%": "among the evaluator's best 1 % of all lists",
    "hr@10%": "among the evaluator's best 10 % of all lists",
    "unchanged": "the input list itself",
    "overestimation": "promised reward over what the list is worth, less 1",
    "reward_gain": "gain over the input list, by the evaluator",
    "reward_share_of_best_gain": "value ratio: the same as a share of the best list's gain",
    "true_gain": "true gain over the input list, expected clicks (simulated)",
    "true_share_of_best_gain": "true share of the optimum's gain (simulated)",
    "truly_worse": "share of requests whose list is truly worse than the input (simulated)",
    "true": "true expected clicks (simulated)",
}
_QUALITY = {"ndcg": "NDCG", "map": "MAP", "precision": "Precision", "f1": "F1"}
_ABOVE = "_above_input"


def write_run_report(
    folder: Path,
    facts: dict[str, Any],
    logged_metrics: dict[str, MetricValues],
    metrics: RunMetrics,
) -> Path:
    """Write report.md and report.json; returns the page."""
    folder.mkdir(parents=True, exist_ok=True)
    promise = [asdict(part) | {"overestimation": part.overestimation} for part in metrics.deciles]
    raw = {
        "facts": facts,
        "logged": logged_metrics,
        "metrics": metrics.estimates,
        "deciles": promise,
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
    simulated = "Feedback is simulated: every value marked so holds in the click world only."
    return [
        f"# Offline report: {facts['log']}",
        "",
        *([simulated, ""] if facts["simulated"] else []),
        *[f"- {name}: {value}" for name, value in facts.items()],
        "",
    ]


def _logged_lists_section(logged: dict[str, MetricValues]) -> list[str]:
    names = ("auc", "gauc", "ndcg@5", "ndcg@10", "logloss", "ece", "ece_by_chance")
    lines = [
        "## Evaluator on later logged lists",
        "",
        "| order | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for order, numbers in logged.items():
        cells = [f"{numbers[n]:.4f}" if n in numbers else "" for n in names]
        lines.append(f"| {order} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _estimates_section(measured: MetricEstimates) -> list[str]:
    lines = [
        "## Lists on later requests",
        "",
        "`single` is list 0 (no noise), `served` the chosen one of all. Brackets: 95 % bootstrap",
        "intervals over users.",
        "",
        "| measure | list | value | 95 % |",
        "|---|---|---|---|",
    ]
    for name, (value, low, high) in sorted(measured.items()):
        what, _, kind = name.rpartition("_")
        meaning = _MEANING.get(what) or _label_metric_text(what)
        lines.append(f"| {meaning} | {kind} | {value:.4f} | [{low:.4f}, {high:.4f}] |")
    return lines


def _label_metric_text(metric: str) -> str:
    """In words: `ndcg@10`, `ndcg@10_above_input`; anything else as it is."""
    name, _, cut = metric.removesuffix(_ABOVE).partition("@")
    if name not in _QUALITY:
        return metric
    words = f"{_QUALITY[name]}@{cut} by the labels of all candidates"
    return f"{words}, less the input list's" if metric.endswith(_ABOVE) else words


def _deciles_section(parts: list[Decile]) -> list[str]:
    if not parts:
        return []
    lines = [
        "",
        "## Is the promise kept?",
        "",
        "Served lists by what the evaluator promises of them, a tenth of the requests a row.",
        "",
        "| tenth | promised reward | worth | optimism |",
        "|---|---|---|---|",
    ]
    for place, part in enumerate(parts, start=1):
        row = f"| {place} | {part.predicted:.3f} | {part.actual:.3f} | {part.overestimation:+.1%} |"
        lines.append(row)
    return lines
