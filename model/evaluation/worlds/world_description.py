"""States of each world what a reader must know before comparing methods: rates and headroom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.simulation.world_family import FamilyWorld
from model.evaluation.list_quality import TRUE_VALUE_TOLERANCE
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


def describe_world(reference: Mapping[str, NDArray[Any]], slots: int) -> WorldDescription:
    """Measures from true values (R,): `true_input`, `true_taste`, `true_best` (NaN: unknown)."""
    inputs, taste, best = (reference[f"true_{kind}"] for kind in ("input", "taste", "best"))
    known = np.isfinite(best)
    room = float((best - inputs)[known].sum())
    return WorldDescription(
        click_rate=float(inputs.mean() / slots),
        clicks=float(inputs.mean()),
        headroom=room / float(inputs[known].sum()) if known.any() else float("nan"),
        taste_share=value_ratio(taste[known], inputs[known], best[known]),
        taste_worse=float((taste < inputs - TRUE_VALUE_TOLERANCE).mean()),
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
