"""Panels and dashboards as dataclasses, and their conversion to Grafana's JSON.

Knows layout and Grafana, no metric: those are in service_dashboard.py, quality_dashboard.py and
features_dashboard.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

PanelUnit = Literal["s", "reqps", "ops", "percentunit", "bytes", "short", "none"]

# selector of every expression: one job, some or all of its processes
TARGET_SELECTOR = 'job="$job", instance=~"$instance"'
RATE_INTERVAL = "$__rate_interval"
LATENCY_OBJECTIVE_S = 0.05
GRID_WIDTH, STAT_HEIGHT, GRAPH_HEIGHT = 24, 4, 8
# one color per name in all panels; other names get Grafana's own
SERIES_COLORS = {
    "ok": "#73bf69",
    "hit": "#73bf69",
    "degraded": "#ff9830",
    "miss": "#8ab8ff",
    "rejected": "#b877d9",
    "disconnected": "#a0a0a0",
    "skipped": "#a0a0a0",
    "timeout": "#ff9830",
    "failed": "#e02f44",
    "down": "#e02f44",
    "unreadable": "#8b4513",
    "current": "#3274d9",
    "canary": "#ff9830",
    "none": "#a0a0a0",
    "done": "#73bf69",
}
_COLORED = {"{{outcome}}", "{{artifact}}"}
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="$datasource")
_REF_IDS = "ABCDEFGH"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSpec:
    """One question, answered by lines over time or, with `stat`, by one number.

    queries: pairs of an expression and the name of its lines.
    threshold: drawn as a red line.
    """

    title: str
    unit: PanelUnit
    description: str
    queries: Sequence[tuple[str, str]]
    span: int = 8
    stat: bool = False
    stacked: bool = False
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardSpec:
    """One dashboard: rows of panels, each row with a heading."""

    uid: str
    title: str
    description: str
    rows: Sequence[tuple[str, Sequence[PanelSpec]]]


def dashboard_json(spec: DashboardSpec) -> str:
    """The dashboard as Grafana's provisioning reads it."""
    built = (
        dashboard.Dashboard(spec.title)
        .uid(spec.uid)
        .description(spec.description)
        .tags(["relist"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(_label_variable("job", "label_values(rerank_ready, job)"))
        .with_variable(_instances())
    )
    numbers = count(1)  # links refer to panels by number
    for title, panels in spec.rows:
        built = built.with_row(dashboard.Row(title))
        for panel in panels:
            drawn = _stat(panel) if panel.stat else _graph(panel)
            built = built.with_panel(drawn.id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _label_variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .query(query)
        .datasource(_SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def _instances() -> dashboard.QueryVariable:
    return (
        _label_variable("instance", 'label_values(rerank_ready{job="$job"}, instance)')
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text="All", value="$__all"))
    )


def _targets(panel: PanelSpec) -> list[prometheus.Dataquery]:
    return [
        prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(_REF_IDS[at])
        for at, (expr, legend) in enumerate(panel.queries)
    ]


def _limits(panel: PanelSpec) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(color="green", value=None)]
    if panel.threshold is not None:
        steps.append(models.Threshold(color="red", value=panel.threshold))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _stat(panel: PanelSpec) -> stat.Panel:
    return (
        stat.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .datasource(_SOURCE)
        .targets(list(_targets(panel)))
        .thresholds(_limits(panel))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .span(panel.span)
        .height(STAT_HEIGHT)
    )


def _graph(panel: PanelSpec) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    stacking = common_models.StackingMode.NORMAL if panel.stacked else None
    line = (
        common_models.GraphThresholdsStyleMode.OFF
        if panel.threshold is None
        else common_models.GraphThresholdsStyleMode.DASHED
    )
    graph = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .min(0)
        .datasource(_SOURCE)
        .targets(list(_targets(panel)))
        .thresholds(_limits(panel))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(line))
        .legend(legend)
        .line_width(1)
        .fill_opacity(30 if panel.stacked else 5)
        .span(panel.span)
        .height(GRAPH_HEIGHT)
    )
    colored = {legend for _, legend in panel.queries} & _COLORED
    for name, color in SERIES_COLORS.items() if colored else ():
        fixed = models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})
        graph = graph.override_by_name(name, [fixed])
    return graph if stacking is None else graph.stacking(common.StackingConfig().mode(stacking))
