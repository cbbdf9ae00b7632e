"""The dashboard "Quality": effect of reranking on lists, and of a canary."""

from __future__ import annotations

from docker.grafana.panels import DashboardSpec, PanelSpec
from docker.grafana.promql import (
    ANSWERED_SELECTOR,
    REQUEST_DURATION,
    counter_rate,
    grouped_rate_ratio,
    histogram_mean,
    histogram_quantile,
    rate_ratio,
    request_rate,
    share_at_or_below,
)

_ANSWERS = request_rate(ANSWERED_SELECTOR, "artifact")
_UPLIFT, _REWARD = (
    counter_rate(f"{name}_sum", by="artifact") for name in ("rerank_reward_uplift", "rerank_reward")
)
_SERVED = counter_rate("rerank_reward_count", by="artifact")

GAIN_PANELS = [
    PanelSpec(
        title="Uplift",
        unit="short",
        description="Predicted reward of the served list minus that of the input list, mean.",
        queries=[(histogram_mean("rerank_reward_uplift", by="artifact"), "{{artifact}}")],
    ),
    PanelSpec(
        title="Uplift, relative",
        unit="percentunit",
        description="The same as a share of the input lists' reward: comparable over time.",
        queries=[(f"{_UPLIFT} / ({_REWARD} - {_UPLIFT})", "{{artifact}}")],
    ),
    PanelSpec(
        title="Unchanged lists",
        unit="percentunit",
        description="Share of answers that return the input list: no better list was found.",
        queries=[(share_at_or_below("0.0", "rerank_changed_slots", by="artifact"), "{{artifact}}")],
        threshold=0.95,
    ),
    PanelSpec(
        title="Changed slots",
        unit="short",
        description="Slots of a served list that hold another item than in the input list.",
        queries=[
            (histogram_mean("rerank_changed_slots", by="artifact"), "{{artifact}} mean"),
            (histogram_quantile(0.9, "rerank_changed_slots", by="artifact"), "{{artifact}} p90"),
        ],
    ),
    PanelSpec(
        title="Predicted reward",
        unit="short",
        description="Mean of served and of input lists; both moving together is other traffic.",
        queries=[
            (histogram_mean("rerank_reward", by="artifact"), "{{artifact}} served"),
            (f"({_REWARD} - {_UPLIFT}) / {_SERVED}", "{{artifact}} input"),
        ],
    ),
    PanelSpec(
        title="Predicted p_click",
        unit="percentunit",
        description="Mean click probability of a served list's slots: compare it with real clicks.",
        queries=[
            (histogram_mean("rerank_list_p_click", by="artifact"), "{{artifact}} mean"),
            (histogram_quantile(0.1, "rerank_list_p_click", by="artifact"), "{{artifact}} p10"),
            (histogram_quantile(0.9, "rerank_list_p_click", by="artifact"), "{{artifact}} p90"),
        ],
    ),
]
DEGRADATION_PANELS = [
    PanelSpec(
        title="Degraded answers",
        unit="percentunit",
        description="Share of degraded answers, by reason.",
        queries=[
            (
                grouped_rate_ratio(
                    counter_rate("rerank_degraded_total", by="reason"),
                    request_rate(ANSWERED_SELECTOR),
                ),
                "{{reason}}",
            )
        ],
        threshold=0.05,
    ),
    PanelSpec(
        title="Input order by cause",
        unit="ops",
        description="Answers in input order: deadline exceeded or inference failed.",
        queries=[
            (
                counter_rate("rerank_input_order_total", by="artifact, cause"),
                "{{artifact}} {{cause}}",
            )
        ],
    ),
    PanelSpec(
        title="Unseen list sizes and infeasible lists",
        unit="ops",
        description="Requests with a list length not seen in training; lists that break a rule.",
        queries=[
            (counter_rate("rerank_unseen_list_size_total"), "unseen list length"),
            (counter_rate("rerank_infeasible_lists_total"), "infeasible lists"),
        ],
    ),
]
CANARY_PANELS = [
    PanelSpec(
        title="Answers by artifact",
        unit="reqps",
        description="Who answers: current, or the canary for the users of its share.",
        queries=[(_ANSWERS, "{{artifact}}")],
        stacked=True,
    ),
    PanelSpec(
        title="Degraded by artifact",
        unit="percentunit",
        description="Share of each artifact's answers that are degraded.",
        queries=[
            (rate_ratio(request_rate('outcome="degraded"', "artifact"), _ANSWERS), "{{artifact}}")
        ],
    ),
    PanelSpec(
        title="p99 by artifact",
        unit="s",
        description="Duration of answers, canary beside current.",
        queries=[
            (
                histogram_quantile(0.99, REQUEST_DURATION, 'artifact!="none"', "artifact"),
                "{{artifact}}",
            )
        ],
        threshold=0.05,
    ),
    PanelSpec(
        title="Model time by artifact",
        unit="s",
        description="Mean generate and evaluate time, shadow runs included.",
        queries=[
            (
                histogram_mean(
                    "rerank_stage_seconds", 'stage=~"generate|evaluate"', "artifact, stage"
                ),
                "{{artifact}} {{stage}}",
            )
        ],
    ),
    PanelSpec(
        title="Shadow runs",
        unit="ops",
        description="Requests that the canary ran in shadow; skipped: busy, or no store.",
        queries=[(counter_rate("rerank_shadow_total", by="outcome"), "{{outcome}}")],
    ),
    PanelSpec(
        title="Artifact changes",
        unit="short",
        description="In the last five minutes: swapped, rolled back, rejected.",
        queries=[
            (
                "sum by (artifact, outcome) (increase(rerank_artifact_reloads_total"
                '{job="$job", instance=~"$instance"}[5m]))',
                "{{artifact}} {{outcome}}",
            )
        ],
    ),
]
QUALITY_DASHBOARD = DashboardSpec(
    uid="relist-quality",
    title="Relist / Quality",
    description="Are the lists better than what came in, and would the canary's be?",
    rows=[
        ("Gain", GAIN_PANELS),
        ("Degradation", DEGRADATION_PANELS),
        ("Current and canary", CANARY_PANELS),
    ],
)
