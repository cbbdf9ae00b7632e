"""Draws a dashboard from a Prometheus' own data, without Grafana.

    python -m docker.grafana.draw_dashboards --url http://127.0.0.1:9090 --minutes 15 --out pictures

Reads the committed JSON and sends its queries; knows no metric.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from docker.grafana.build_dashboards import DASHBOARD_DIR, DASHBOARDS
from docker.grafana.panels import SERIES_COLORS
from docker.grafana.prometheus_api import TimeRange, TimeSeries, query_panel, read_dashboard_panels

_COLUMN_IN, _ROW_IN = 0.78, 0.42  # of Grafana's grid, in inches
_MOST_LINES = 8
_GREY, _RED = "#555555", "#d43f3a"
_STEPS = 180
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def draw_dashboard(url: str, dashboard: Path, time_range: TimeRange, out: Path) -> None:
    """One picture of one dashboard."""
    panels = read_dashboard_panels(dashboard)
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels)
    figure = Figure(figsize=(24 * _COLUMN_IN, height * _ROW_IN), dpi=80)
    for panel in panels:
        if panel["type"] == "row":
            _heading(figure, panel, height)
            continue
        lines = [line for query in query_panel(url, panel, time_range) for line in query]
        axes = figure.add_axes(_place(panel["gridPos"], height))
        axes.set_title(panel["title"], loc="left", fontsize=10, fontweight="bold")
        if panel["type"] == "stat":
            _number(axes, panel, lines)
        else:
            _graph(axes, panel, lines, time_range)
    figure.savefig(out, facecolor="white")


def _place(grid: dict[str, int], height: int) -> tuple[float, float, float, float]:
    """Position of a panel's axes as shares of the picture, with space for title and legend."""
    is_stat = grid["h"] < 6
    left, right = (0.3, 0.3) if is_stat else (1.6, 0.4)
    top, bottom = 1.1, (0.2 if is_stat else 2.5)
    x = (grid["x"] + left) / 24
    y = 1 - (grid["y"] + grid["h"] - bottom) / height
    return x, y, (grid["w"] - left - right) / 24, (grid["h"] - top - bottom) / height


def _heading(figure: Figure, panel: dict[str, Any], height: int) -> None:
    y = 1 - (panel["gridPos"]["y"] + 0.75) / height
    figure.text(0.008, y, panel["title"], fontsize=13, fontweight="bold", color="#1f4e79")


def _number(axes: Axes, panel: dict[str, Any], lines: Sequence[TimeSeries]) -> None:
    axes.axis("off")
    limit = _limit(panel)
    value = lines[0].values[-1] if lines else None
    color = _RED if limit is not None and value is not None and value > limit else "#2e7d32"
    text = "no data" if value is None else _written(value, _unit(panel))
    axes.text(0.02, 0.35, text, fontsize=26, color=color, transform=axes.transAxes)


def _graph(
    axes: Axes, panel: dict[str, Any], lines: Sequence[TimeSeries], window: TimeRange
) -> None:
    unit, limit = _unit(panel), _limit(panel)
    busiest = sorted(lines, key=lambda line: -max(line.values))[:_MOST_LINES]
    shown = [line for line in lines if line in busiest]
    if _stacked(panel):
        _stack(axes, shown, window)
    else:
        for line in shown:
            minutes = [(at - window.start) / 60 for at in line.times]
            color = SERIES_COLORS.get(line.name) if _all_colored(shown) else None
            axes.plot(minutes, line.values, linewidth=1.3, label=line.name, color=color)
    top = _top(shown, stacked=_stacked(panel))
    if limit is not None and (limit < 5 * top or top == 0):
        axes.axhline(limit, color=_RED, linewidth=1, linestyle="--")
        top = max(top, limit)
    axes.set_ylim(0, 1.08 * (top or 1.0))
    axes.set_xlim(0, (window.end - window.start) / 60)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _written(value, unit)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} min"))
    axes.tick_params(labelsize=8, colors=_GREY)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if shown:
        columns = 4 if len(shown) > 3 else len(shown)
        axes.legend(
            fontsize=7.5, frameon=False, ncols=columns, loc="upper left",
            bbox_to_anchor=(-0.06, -0.11), columnspacing=1.0, handlelength=1.2,
        )  # fmt: skip


def _stack(axes: Axes, lines: Sequence[TimeSeries], window: TimeRange) -> None:
    """Draw areas on top of each other."""
    minutes = [(at - window.start) / 60 for at in _times(lines)]
    axes.stackplot(
        minutes,
        _rows(lines),
        labels=[line.name for line in lines],
        colors=[SERIES_COLORS[line.name] for line in lines] if _all_colored(lines) else None,
        alpha=0.75,
    )


def _times(lines: Sequence[TimeSeries]) -> list[float]:
    return sorted({at for line in lines for at in line.times})


def _rows(lines: Sequence[TimeSeries]) -> list[list[float]]:
    """Values at all times; a missing value of a line counts as 0."""
    known = [dict(zip(line.times, line.values, strict=True)) for line in lines]
    return [[values.get(at, 0.0) for at in _times(lines)] for values in known]


def _all_colored(lines: Sequence[TimeSeries]) -> bool:
    return all(line.name in SERIES_COLORS for line in lines)


def _top(lines: Sequence[TimeSeries], *, stacked: bool) -> float:
    """The highest drawn value."""
    if stacked and lines:
        return max(map(sum, zip(*_rows(lines), strict=True)))
    return max((value for line in lines for value in line.values), default=0.0)


def _unit(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"]["unit"])


def _limit(panel: dict[str, Any]) -> float | None:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return float(steps[-1]["value"]) if len(steps) > 1 else None


def _stacked(panel: dict[str, Any]) -> bool:
    return "stacking" in panel["fieldConfig"]["defaults"].get("custom", {})


def _written(value: float, unit: str) -> str:
    """A value with its unit as text."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return _seconds(value)
    ending = {"bytes": "B", "reqps": "/s", "ops": "/s"}.get(unit, "")
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}{ending}"
    return f"{value:.3g} {ending}".strip()


def _seconds(value: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value * 1e6:.3g} µs" if value else "0"


def draw_all_dashboards(url: str, time_range: TimeRange, out: Path) -> None:
    """Draw one picture per dashboard."""
    out.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        draw_dashboard(url, DASHBOARD_DIR / f"{name}.json", time_range, out / f"{name}.png")


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the last minutes of a running Prometheus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "docs" / "pictures")
    parser.add_argument("--rate-interval", type=int, default=60, help="seconds")
    given = parser.parse_args(argv)
    end = time.time()
    start = end - given.minutes * 60
    draw_all_dashboards(
        given.url, TimeRange(start, end, (end - start) / _STEPS, given.rate_interval), given.out
    )


if __name__ == "__main__":
    main()
