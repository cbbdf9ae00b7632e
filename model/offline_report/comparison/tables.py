"""Rows as Markdown tables. Chooses and formats numbers, computes none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from model.baselines.registry import METHODS
from model.offline_report.comparison.listing import SERVED
from model.offline_report.comparison.plan import ABLATIONS, LAMBDAS
from model.offline_report.comparison.problems import OURS, PUBLISHED
from model.offline_report.comparison.summary import Row, find

PERCENT = frozenset({"truly_worse", "unchanged", "truly_worse_changed"})
SHOWN = {OURS: "**Relist (ours)**", PUBLISHED: "NLGR, as published"}
PAPER = "2502.06097"
Columns = Sequence[tuple[str, str, str]]  # heading, kind of list, measure


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """Markdown lines; empty where there is no line."""
    body = [f"| {' | '.join(line)} |" for line in lines]
    if not body:
        return []
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *body, ""]


def methods_table(rows: Sequence[Row], part: str, columns: Columns) -> list[str]:
    """A line a method, ours first. `served` means K = 8, or the largest effort up to it."""
    some = find(rows, part=part, seed=None)
    names = [name for name in (OURS, PUBLISHED, *METHODS) if find(some, method=name)]
    present = [c for c in columns if any(cell(some, name, c[1], c[2]) for name in names)]
    lines = []
    for name in names if present else []:
        family = METHODS[name].family if name in METHODS else "generator"
        paper = METHODS[name].paper if name in METHODS else PAPER
        cells = [cell(some, name, kind, measure) for _, kind, measure in present]
        lines.append([SHOWN.get(name, name), family, paper, *(text or "-" for text in cells)])
    return table(["method", "family", "paper", *(head for head, _, _ in present)], lines)


def variants_table(rows: Sequence[Row], part: str, columns: Columns) -> list[str]:
    """A line a variant, in the order of the plan."""
    some = find(rows, part=part, seed=None)
    order = [n for n in ABLATIONS if find(some, method=n)]
    names = order or list(dict.fromkeys(row.method for row in some))
    present = [c for c in columns if any(cell(some, name, c[1], c[2]) for name in names)]
    return table(
        ["variant", *(head for head, _, _ in present)],
        ([n, *(cell(some, n, kind, m) or "-" for _, kind, m in present)] for n in names),
    )


def lambdas_table(rows: Sequence[Row], columns: Sequence[tuple[str, str]]) -> list[str]:
    """A line a lambda; columns are headings and measures."""
    some = find(rows, part="caution", method=OURS, seed=None)
    kinds = [f"lambda{weight:g}" for weight in LAMBDAS]
    present = [c for c in columns if any(cell(some, OURS, kind, c[1]) for kind in kinds)]
    lines = [
        [kind.removeprefix("lambda"), *(cell(some, OURS, kind, m) or "-" for _, m in present)]
        for kind in kinds
    ]
    return table(["lambda", *(head for head, _ in present)], lines if present else [])


def cell(rows: Sequence[Row], method: str, kind: str, measure: str) -> str:
    """Value, interval and spread of one number as text; empty where it was not measured."""
    row = at_kind(find(rows, method=method, measure=measure), kind)
    return "" if row is None else formatted(row)


def at_kind(rows: Sequence[Row], kind: str) -> Row | None:
    """The row of this kind of list; `served` is the largest K up to 8."""
    if kind != "served":
        return next(iter(find(rows, lists=kind)), None)
    few = [row for row in served(rows) if _effort(row) <= SERVED]
    return few[-1] if few else None


def served(rows: Sequence[Row]) -> list[Row]:
    """The rows of what is served, by K or effort."""
    return sorted((row for row in rows if row.lists.startswith("served")), key=_effort)


def _effort(row: Row) -> int:
    return int(row.lists.removeprefix("served"))


def formatted(row: Row) -> str:
    """0.231 [0.20, 0.26] ±.01, or percent where the measure is a share of requests."""
    if math.isnan(row.value):
        return ""
    percent = row.measure in PERCENT or row.measure.startswith("hr@")
    scale, unit, places = (100.0, " %", 1) if percent else (1.0, "", 3)
    text = f"{scale * row.value:.{places}f}{unit}"
    if row.low is not None and row.high is not None and not math.isnan(row.low):
        text += f" [{scale * row.low:.{places}f}, {scale * row.high:.{places}f}]"
    if row.spread is not None:
        text += f" ±{scale * row.spread:.{places}f}"
    return text


def logged_table(rows: Sequence[Row]) -> list[str]:
    """The evaluator on later lists beside simple orders, mean over seeds."""
    some = find(rows, part="logged")
    names = ("auc", "gauc", "ndcg@5", "ndcg@10", "logloss", "ece", "ece_by_chance")
    orders = list(dict.fromkeys(row.method for row in some))
    lines = []
    for order in orders:
        own = find(some, method=order)
        lines.append([order, *(_mean(find(own, measure=name)) for name in names)])
    return table(["order of logged lists", *names], lines)


def _mean(rows: Sequence[Row]) -> str:
    return f"{sum(row.value for row in rows) / len(rows):.4f}" if rows else ""
