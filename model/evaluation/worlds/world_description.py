"""States of each world what a reader must know before comparing methods: rates and headroom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.data.simulation.ground_truth import ClickWorld
from model.data.simulation.world_family import FamilyWorld
from model.data.tables.log_tables import LogTables
from model.evaluation.list_quality import TRUE_VALUE_TOLERANCE
from model.evaluation.worlds.reference_lists import measure_reference_lists
from model.metrics import value_ratio

DESCRIBED_LISTS = 4_000  # training lists of a described log; its test part has 500 requests
DESCRIBED_REQUESTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldDescription:
    """Measures of a world.

    click_rate: mean click probability of a slot of the input list.
    clicks: expected clicks of the input list.
    headroom: gain of the best list over the input list, relative to the input list.
    taste_share: share of that gain that the true taste order has.
    taste_worse: share of requests where the taste order is truly worse than the input list.
    """

    click_rate: float
    clicks: float
    headroom: float
    taste_share: float
    taste_worse: float


def describe_world(world: ClickWorld, tables: LogTables, part: int) -> WorldDescription:
    """Measures on the first requests of a part of a log."""
    rows = tables.part_rows(part)[:DESCRIBED_REQUESTS]
    lists = measure_reference_lists(world, tables, rows)
    known = np.isfinite(lists.best)
    inputs, best = lists.input[known], lists.best[known]
    return WorldDescription(
        click_rate=float(lists.input.mean() / tables.slots),
        clicks=float(lists.input.mean()),
        headroom=float(best.mean() / inputs.mean() - 1.0) if len(best) else float("nan"),
        taste_share=value_ratio(lists.taste[known], inputs, best) if len(best) else float("nan"),
        taste_worse=float((lists.taste < lists.input - TRUE_VALUE_TOLERANCE).mean()),
    )


def description_table(described: Sequence[tuple[FamilyWorld, WorldDescription]]) -> str:
    """Markdown table of worlds, one line each."""
    lines = [
        "| world | CTR of a slot | clicks a list | headroom | taste order | taste worse |",
        "|---|---|---|---|---|---|",
    ]
    for world, found in described:
        lines.append(
            f"| {world.name} | {found.click_rate:.1%} | {found.clicks:.2f} | "
            f"{_share(found.headroom)} | {_number(found.taste_share)} | {found.taste_worse:.0%} |"
        )
    return "\n".join(lines) + "\n"


def _share(value: float) -> str:
    return f"{value:.0%}" if np.isfinite(value) else "-"


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"
