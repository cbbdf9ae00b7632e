"""Latency of one request at a time by stage: `relist latency`.

One connection, no concurrency: the latency of an idle service for a single caller.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from typer import Exit, Option, echo

_GRAPHS = ("generate", "evaluate")
_TIMEOUT_S = 10.0


class UnexpectedStatus(Exception):
    """The service did not answer 200; carries its message."""


def resize_candidates(
    logged: Sequence[dict[str, Any]], candidates: int
) -> Iterator[dict[str, Any]]:
    """Logged requests with exactly N candidates: cut, or filled up from the next requests."""
    rows = [request["candidates"] for request in logged]
    for at, request in enumerate(logged):
        taken: dict[str, list[Any]] = {}
        for offered in (*rows[at:], *rows[:at]):
            _merge_candidates(taken, offered)
            if len(taken) >= candidates:
                break
        items = list(taken)[:candidates]
        features = request["candidates"].get("features", {})
        columns = {name: [taken[i][1].get(name) for i in items] for name in features}
        yield {
            "user_id": request["user_id"],
            "context": request.get("context", {}),
            "candidates": {
                "item_id": items,
                "score": [taken[i][0] for i in items],
                "features": columns,
            },
        }


def _merge_candidates(taken: dict[str, list[Any]], offered: dict[str, Any]) -> None:
    scores = offered.get("score") or [None] * len(offered["item_id"])
    features = offered.get("features", {})
    for place, item in enumerate(offered["item_id"]):
        if item not in taken:
            taken[item] = [scores[place], {name: col[place] for name, col in features.items()}]


def measure_sequentially(
    base_url: str, requests: Sequence[dict[str, Any]], count: int
) -> list[dict[str, Any]]:
    """Responses to `count` requests sent one after another, each with its `client_ms`."""
    where = urlsplit(base_url)
    connection = http.client.HTTPConnection(where.netloc, timeout=_TIMEOUT_S)
    answers = []
    for request in islice(cycle(requests), count):
        body = json.dumps(request)
        started = time.perf_counter()
        connection.request("POST", "/rerank", body, {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        seen = (time.perf_counter() - started) * 1000
        if response.status != 200:
            raise UnexpectedStatus(f"HTTP {response.status}: {text.decode(errors='replace')[:500]}")
        answers.append({**json.loads(text), "client_ms": seen})
    connection.close()
    return answers


def latency_table(responses: Sequence[dict[str, Any]]) -> list[str]:
    """Median and p99 at the client and of each stage, in milliseconds."""
    columns = {"client latency": [a["client_ms"] for a in responses]}
    for stage in responses[0]["timings_ms"]:
        columns[stage] = [a["timings_ms"][stage] for a in responses]
    columns["both graphs"] = [sum(a["timings_ms"][g] for g in _GRAPHS) for a in responses]
    lines = [f"{'milliseconds':<20} {'median':>8} {'p99':>8}"]
    for name, values in columns.items():
        p99 = statistics.quantiles(values, n=100, method="inclusive")[98]
        lines.append(f"{name:<20} {statistics.median(values):8.3f} {p99:8.3f}")
    degraded = sum(bool(a["degraded"]) for a in responses)
    return [*lines, f"{len(responses)} answers, {degraded} degraded"]


def latency(
    requests: Annotated[Path, Option(help="File requests.jsonl of a run.")],
    url: Annotated[str, Option(help="Address of the running service.")] = "http://127.0.0.1:8000",
    candidates: Annotated[int, Option(min=1, help="Candidates of a request (N).")] = 100,
    lists: Annotated[int, Option(min=1, help="Generated lists of a request (K).")] = 8,
    count: Annotated[int, Option(min=1, help="Measured requests.")] = 2000,
    warmup: Annotated[int, Option(min=0, help="Requests before, which are not counted.")] = 200,
) -> None:
    """Measure latency by stage with one request at a time against a running service."""
    try:
        text = requests.read_text(encoding="utf-8")
        logged = [json.loads(line)["request"] for line in text.split("\n") if line]
        sent = [{**one, "num_lists": lists} for one in resize_candidates(logged, candidates)]
        measure_sequentially(url, sent, warmup)
        answers = measure_sequentially(url, sent, count)
    except (UnexpectedStatus, OSError, ValueError) as error:
        echo(f"relist latency: {error}", err=True)
        raise Exit(1) from error
    for line in latency_table(answers):
        echo(line)
