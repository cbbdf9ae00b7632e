"""Bodies of a run's logged requests in both wire forms, at any number of candidates and lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from loadtest.stage_latency import resize_candidates

WireForm = Literal["columns", "rows"]
WIRE_FORMS: tuple[WireForm, ...] = ("columns", "rows")
BENCH_BUDGET_MS = 1000  # large: degraded answers cost less


def read_bench_requests(path: Path, max_count: int = 200) -> list[dict[str, Any]]:
    """Requests of requests.jsonl."""
    with path.open(encoding="utf-8") as lines:
        return [
            json.loads(line)["request"] for line, _ in zip(lines, range(max_count), strict=False)
        ]


def build_bodies(
    logged: Sequence[dict[str, Any]], *, candidates: int, lists: int, form: WireForm
) -> list[bytes]:
    """One body per logged request, each with its own seed."""
    bodies = []
    for seed, request in enumerate(resize_candidates(logged, candidates)):
        body = {**request, "num_lists": lists, "seed": seed, "budget_ms": BENCH_BUDGET_MS}
        if form == "rows":
            body["candidates"] = columns_to_rows(request["candidates"])
        bodies.append(json.dumps(body, separators=(",", ":")).encode())
    return bodies


def columns_to_rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    """The same candidates in the row form."""
    features = columns["features"]
    return [
        {
            "item_id": item_id,
            "score": score,
            "features": {name: column[at] for name, column in features.items()},
        }
        for at, (item_id, score) in enumerate(
            zip(columns["item_id"], columns["score"], strict=True)
        )
    ]
