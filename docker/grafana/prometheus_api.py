"""Runs the queries of a committed dashboard on a Prometheus, with variables substituted."""

from __future__ import annotations

import json
import math
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """One line of a panel: name as in its legend, times and values without gaps."""

    name: str
    times: list[float]
    values: list[float]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Start, end and step of a dashboard; all in seconds."""

    start: float
    end: float
    step_s: float
    rate_interval: int


def read_dashboard_panels(path: Path) -> list[dict[str, Any]]:
    """Panels of a dashboard's JSON, headings of rows included, in their order."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["panels"]
    return found


def substitute_variables(expression: str, rate_interval: int, job: str = "relist") -> str:
    """An expression as Grafana sends it, for every process of one job."""
    values = {"$__rate_interval": f"{rate_interval}s", "$job": job, "$instance": ".*"}
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def query_panel(
    url: str, panel: Mapping[str, Any], time_range: TimeRange
) -> list[list[TimeSeries]]:
    """The lines of each query of a panel."""
    return [list(_ask(url, target, time_range)) for target in panel["targets"]]


def _ask(url: str, target: Mapping[str, str], window: TimeRange) -> Iterator[TimeSeries]:
    query = {
        "query": substitute_variables(target["expr"], window.rate_interval),
        "start": f"{window.start:.3f}",
        "end": f"{window.end:.3f}",
        "step": f"{window.step_s:g}",
    }
    address = f"{url}/api/v1/query_range?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
        result = json.load(answer)["data"]["result"]
    for series in result:
        points = [(float(at), float(value)) for at, value in series["values"]]
        points = [(at, value) for at, value in points if math.isfinite(value)]
        if points:
            times, values = zip(*points, strict=True)
            yield TimeSeries(_legend(target["legendFormat"], series["metric"]), [*times], [*values])


def _legend(pattern: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        pattern = pattern.replace("{{" + name + "}}", value)
    return pattern
