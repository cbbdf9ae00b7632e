"""The Markdown page. Sections in the order of the questions that readers ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.offline_report.comparison import tables, wording
from model.offline_report.comparison.problems import Problem
from model.offline_report.comparison.summary import Row, find
from model.offline_report.comparison.verdict import verdict

COMPARISON: tables.Columns = (
    ("true share, single", "single", "true_share"),
    ("true share, served", "served", "true_share"),
    ("truly worse, single", "single", "truly_worse"),
    ("truly worse, served", "served", "truly_worse"),
    ("value ratio, single", "single", "value_ratio"),
    ("value ratio, served", "served", "value_ratio"),
    ("HR@1%, served", "served", "hr@1%"),
    ("HR@10%, served", "served", "hr@10%"),
)
LABELS: tables.Columns = tuple(
    (f"{name}@{cut}, {kind}", kind, f"{name.lower()}@{cut}")
    for kind in ("single", "served")
    for cut in (6, 10)
    for name in ("Precision", "NDCG", "MAP", "F1")
)
JUDGES: tables.Columns = (
    ("by the first evaluator", "served", "value_ratio"),
    ("by the second", "served", "second_ratio"),
    ("in truth (simulated)", "served", "true_share"),
    ("truly worse", "served", "truly_worse"),
)
VARIANTS: tables.Columns = (
    ("value ratio, single", "single", "value_ratio"),
    ("value ratio, served", "served", "value_ratio"),
    ("true share, single", "single", "true_share"),
    ("true share, served", "served", "true_share"),
    ("HR@1%, single", "single", "hr@1%"),
    ("HR@10%, single", "single", "hr@10%"),
    ("unchanged, single", "single", "unchanged"),
)
CAUTION = (
    ("true share", "true_share"),
    ("truly worse", "truly_worse"),
    ("unchanged", "unchanged"),
    ("true gain", "true_gain"),
    ("gain by the evaluator", "reward_gain"),
    ("NDCG@10", "ndcg@10"),
    ("MAP@10", "map@10"),
)
COPYING: tables.Columns = (
    ("unchanged, single", "single", "unchanged"),
    ("unchanged, served", "served", "unchanged"),
    ("true gain where changed, served", "served", "true_gain_changed"),
    ("truly worse where changed, served", "served", "truly_worse_changed"),
    ("true share, single", "single", "true_share"),
    ("true share, single, order shuffled", "shuffled", "true_share"),
    ("value ratio, single", "single", "value_ratio"),
    ("value ratio, single, order shuffled", "shuffled", "value_ratio"),
    ("NDCG@10, single", "single", "ndcg@10"),
    ("NDCG@10, single, order shuffled", "shuffled", "ndcg@10"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the page shows of one problem.

    figures: name -> file beside the page, those that could be drawn.
    neighbors: numbers of `NeighborsJob`. optimism: of `OptimismJob`.
    """

    problem: Problem
    shape: str
    rows: Sequence[Row]
    figures: dict[str, str]
    neighbors: dict[str, Any]
    optimism: dict[str, Any]


def page_of(found: Sequence[Found], facts: dict[str, str]) -> str:
    """The whole page."""
    lines = [
        "# How Relist stands beside the field",
        "",
        wording.INTRODUCTION,
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "## What it says, losses first",
        "",
    ]
    for one in found:
        lines += [f"**{one.problem.title}.** ", *verdict(one.rows, one.problem)]
    for one in found:
        lines += _problem(one)
    return "\n".join(lines).rstrip() + "\n"


def _problem(one: Found) -> list[str]:
    rows = find(one.rows, problem=one.problem.name)
    note = f" {one.problem.note}" if one.problem.note else ""
    lines = [f"## {one.problem.title}", "", one.shape + note, ""]
    lines += ["### The evaluator first", "", *tables.logged_table(rows)]
    lines += ["### All methods", "", *_picture(one, "value")]
    lines += tables.methods_table(rows, "comparison", COMPARISON)
    lines += tables.methods_table(rows, "comparison", LABELS)
    judges = tables.methods_table(rows, "judges", JUDGES)
    lines += _section(wording.JUDGES_TITLE, wording.JUDGES, _picture(one, "judges"), judges)
    caution = tables.lambdas_table(rows, CAUTION)
    caution += _optimism(one)
    lines += _section("How careful to be", wording.CAUTION, _picture(one, "caution"), caution)
    copying = tables.methods_table(rows, "comparison", COPYING)
    lines += _section("Copying the input, and leaning on its order", wording.COPYING, copying)
    text = wording.ABLATIONS.format(epochs=one.problem.ablation_epochs)
    variants = tables.variants_table(rows, "ablations", VARIANTS)
    lines += _section(
        "Ablations of the published method", text, _picture(one, "ablations"), variants
    )
    variants = tables.variants_table(rows, "cru_loss", VARIANTS)
    text = wording.CRU_LOSSES.format(epochs=one.problem.ablation_epochs)
    title = "Three ways to teach the CRU, and what collapse looks like"
    lines += _section(title, text, _picture(one, "cru_loss"), variants)
    variants = tables.variants_table(rows, "tau", VARIANTS)
    lines += _section("Gradient flow", wording.GRADIENTS, _picture(one, "gradients"), variants)
    lines += _neighbors(one)
    pictures = [*_picture(one, "evaluators"), *_picture(one, "generators")]
    return lines + _section("Stability, seed by seed", "", pictures)


def _neighbors(one: Found) -> list[str]:
    n = one.neighbors
    if not n:
        return []
    text = wording.NEIGHBORS.format(total=n["replaced"] + n["swapped"] + n["other"], **n)
    return ["### One edit away", "", text, "", *_picture(one, "neighbors")]


def _optimism(one: Found) -> list[str]:
    if not one.optimism:
        return []
    found = one.optimism["lambda"]
    told = "none up to 10" if found is None else f"{found:g}"
    text = wording.OPTIMISM.format(found=told, configured=one.problem.config.serving.pessimism)
    lines = [
        [f"{point[name]:.4g}" for name in ("pessimism", "promised", "spread", "second")]
        for point in one.optimism["curve"]
        if point["pessimism"].is_integer()
    ]
    head = ("lambda", "promised gain", "spread over members", "by the evaluator of other lists")
    return [text, "", *tables.table(head, lines)]


def _section(title: str, text: str, *body: list[str]) -> list[str]:
    """Nothing where the body is empty: that part was not asked of this problem."""
    if not any(body):
        return []
    return [f"### {title}", "", *([text, ""] if text else []), *(line for b in body for line in b)]


def _picture(one: Found, name: str) -> list[str]:
    return [f"![{name}]({one.figures[name]})", ""] if name in one.figures else []
