"""Markdown page of the worlds benchmark, from its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from model.evaluation.worlds.world_rows import decile_range

Row = dict[str, Any]
LIST_KINDS = {
    "served": "served",
    "single": "single list, no selection",
    "relevance": "relevance order, no search",
    "exact": "exact optimum under the evaluator",
    "input": "input order",
    "taste": "true taste order",
    "in_list_trees": "LightGBM lambdarank, in-list context",
    "prm": "PRM",
    "pier": "PIER",
}
_COMPARED = ("relevance", "in_list_trees", "taste")  # columns of the overview
_INTRODUCTION = """# Worlds

All clicks are simulated. True share: share of the best list's gain over the input list. Truly
worse: requests whose list has a lower true value than the input list. Promised / true: gain that
the evaluator promises over the true gain; in brackets its range over deciles of the promise.
Brackets are 95 % intervals over users. Several seeds: means, also of the ends of intervals.
"""


def format_worlds_page(rows: Sequence[Row], command: str) -> str:
    """The page: one table of all worlds, then one table for each world."""
    groups = _by_world(rows)
    parts = [_INTRODUCTION, f"`{command}`\n", _overview(groups)]
    parts += [_world_section(group) for group in groups]
    return "\n".join(parts)


def _by_world(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of the same world, size and configuration, in the order of the rows."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["world"], row["training_lists"], row["config"]), []).append(row)
    return list(groups.values())


def _overview(groups: Sequence[Sequence[Row]]) -> str:
    lines = [
        "## All worlds\n",
        "| world, lists, configuration | half | true share | truly worse | promised / true "
        "| relevance, trees, taste |",
        "|---|---|---|---|---|---|",
    ]
    for rows in groups:
        others = [
            _mean(rows, kind, "true_share") for kind in ("relevance", "in_list_trees", "taste")
        ]
        compared = ", ".join("-" if value is None else f"{value:.2f}" for value in others)
        lines.append(
            f"| {_label(rows)} | {rows[0]['half']} | {_estimate(rows, 'served', 'true_share')} | "
            f"{_estimate(rows, 'served', 'truly_worse', percent=True)} | "
            f"{_promise(rows, 'served')} | {compared} |"
        )
    return "\n".join(lines) + "\n"


def _world_section(rows: Sequence[Row]) -> str:
    first = rows[0]
    seeds = ", ".join(str(row["seed"]) for row in rows)
    ranked = "ndcg@10" in first["lists"]["served"]
    last = "NDCG@10" if ranked else "gain on input"
    lines = [
        f"## {_label(rows)}\n",
        f"{first['form']} in the log {first['log']}, {first['slots']} of {first['candidates']}, "
        f"{first['requests']} requests, {first['half']} half, seeds {seeds}; "
        f"{np.mean([row['seconds'] for row in rows]) / 60:.0f} minutes a seed.\n",
        f"| list | true share | truly worse | promised / true | {last} |",
        "|---|---|---|---|---|",
    ]
    for kind, title in LIST_KINDS.items():
        if kind in first["lists"]:
            measure = "ndcg@10" if ranked else "relative_gain"
            lines.append(
                f"| {title} | {_estimate(rows, kind, 'true_share')} | "
                f"{_estimate(rows, kind, 'truly_worse', percent=True)} | {_promise(rows, kind)} | "
                f"{_estimate(rows, kind, measure, percent=not ranked)} |"
            )
    return "\n".join(lines) + "\n"


def _label(rows: Sequence[Row]) -> str:
    return f"{rows[0]['world']}, {rows[0]['training_lists']:,}, {rows[0]['config']}"


def _values(rows: Iterable[Row], kind: str, measure: str) -> list[Any]:
    return [row["lists"][kind][measure] for row in rows if measure in row["lists"].get(kind, {})]


def _mean(rows: Sequence[Row], kind: str, measure: str) -> float | None:
    found = _values(rows, kind, measure)
    return float(np.mean([values[0] for values in found])) if found else None


def _estimate(rows: Sequence[Row], kind: str, measure: str, *, percent: bool = False) -> str:
    found = _values(rows, kind, measure)
    if not found:
        return "-"
    value, low, high = np.mean(found, axis=0)
    if percent:
        return f"{value:.1%} [{low:.1%}, {high:.1%}]"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _promise(rows: Sequence[Row], kind: str) -> str:
    found = _values(rows, kind, "promise_ratio")
    if not found:
        return "-"
    ranges = [decile_range(row["lists"][kind]) for row in rows]
    low, high = np.min([r[0] for r in ranges]), np.max([r[1] for r in ranges])
    return f"{np.mean([values[0] for values in found]):.2f} [{low:.1f}, {high:.1f}]"
