"""What the comparison says, losses first: ours against each method, by the headline measure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model.baselines.registry import METHODS
from model.offline_report.comparison.problems import OURS, PUBLISHED, Problem
from model.offline_report.comparison.summary import Row, find
from model.offline_report.comparison.tables import at_kind, formatted

# measured of lists whatever evaluator is asked; the first that a problem knows is its headline
HEADLINES = {
    "true_share": "true share of the best list's gain (simulated)",
    "ndcg@10": "NDCG@10 by real labels",
    "second_ratio": "value ratio under the second evaluator",
    "value_ratio": "value ratio under the first evaluator",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """One method beside ours: its better way of use, and by how much."""

    method: str
    kind: str
    row: Row
    ours: Row

    @property
    def ahead(self) -> bool:
        """Whether the method has more than ours."""
        return self.row.value > self.ours.value

    @property
    def clear(self) -> bool:
        """Whether the intervals stand apart."""
        return _above(self.row, self.ours) or _above(self.ours, self.row)


def _above(one: Row, other: Row) -> bool:
    """Whether the interval of one lies above that of the other; False where one has none."""
    return one.low is not None and other.high is not None and one.low > other.high


def verdict(rows: Sequence[Row], problem: Problem) -> list[str]:
    """Sentences in Markdown; empty where nothing was measured that all methods share."""
    some = find(rows, problem=problem.name, seed=None)
    for measure, named in HEADLINES.items():
        part = "judges" if measure == "second_ratio" else "comparison"
        found = find(some, part=part, measure=measure)
        ours = at_kind(find(found, method=OURS), "served")
        if ours is not None and not math.isnan(ours.value):
            return _sentences(named, ours, _others(found, ours))
    return []


def _others(rows: Sequence[Row], ours: Row) -> list[Against]:
    out = []
    methods = METHODS if ours.measure == "value_ratio" else (PUBLISHED, *METHODS)  # own judge
    for method in methods:
        own = find(rows, method=method)
        held = {kind: at_kind(own, kind) for kind in ("single", "served")}
        known = {kind: row for kind, row in held.items() if row is not None}
        if known:
            kind = max(known, key=lambda k: known[k].value)
            out.append(Against(method=method, kind=kind, row=known[kind], ours=ours))
    return sorted(out, key=lambda against: -against.row.value)


def _sentences(named: str, ours: Row, others: Sequence[Against]) -> list[str]:
    lines = [f"By {named}, ours serves {formatted(ours)}.", ""]
    groups = (
        ("Ahead of it, beyond the intervals", [a for a in others if a.ahead and a.clear]),
        ("Ahead of it, within the intervals", [a for a in others if a.ahead and not a.clear]),
        ("Behind it, within the intervals", [a for a in others if not a.ahead and not a.clear]),
        ("Behind it, beyond the intervals", [a for a in others if not a.ahead and a.clear]),
    )
    for title, group in groups:
        shown = "; ".join(f"{a.method} ({a.kind}) {formatted(a.row)}" for a in group)
        lines.append(f"- {title}: {shown or 'nothing'}.")
    return [*lines, ""]
