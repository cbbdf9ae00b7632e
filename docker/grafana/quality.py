"""The dashboard "Quality": what reranking does to lists, and what a candidate artifact would do."""

from __future__ import annotations

from docker.grafana.panels import Board, Panel
from docker.grafana.promql import (
    ANSWERED,
    REQUESTS,
    at_most,
    mean,
    per_second,
    quantile,
    requests,
    share,
    shares,
)

_ANSWERS = requests(ANSWERED, "artifact")
_UPLIFT, _REWARD = (
    per_second(f"{name}_sum", by="artifact") for name in ("rerank_reward_uplift", "rerank_reward")
)
_SERVED = per_second("rerank_reward_count", by="artifact")

GAIN = [
    Panel(
        title="Uplift",
        unit="short",
        description="Predicted reward of the served list minus that of the input list, mean.",
        queries=[(mean("rerank_reward_uplift", by="artifact"), "{{artifact}}")],
    ),
    Panel(
        title="Uplift, relative",
        unit="percentunit",
        description="The same as a share of the input lists' reward: comparable over time.",
        queries=[(f"{_UPLIFT} / ({_REWARD} - {_UPLIFT})", "{{artifact}}")],
    ),
    Panel(
        title="Lists that leave as they came",
        unit="percentunit",
        description="Share of answers whose list is the input list: nothing better was found.",
        queries=[(at_most("0.0", "rerank_changed_slots", by="artifact"), "{{artifact}}")],
        limit=0.95,
    ),
    Panel(
        title="Changed slots",
        unit="short",
        description="Slots of a served list that hold another item than in the input list.",
        queries=[
            (mean("rerank_changed_slots", by="artifact"), "{{artifact}} mean"),
            (quantile(0.9, "rerank_changed_slots", by="artifact"), "{{artifact}} p90"),
        ],
    ),
    Panel(
        title="Predicted reward",
        unit="short",
        description="Mean of served and of input lists; both moving together is other traffic.",
        queries=[
            (mean("rerank_reward", by="artifact"), "{{artifact}} served"),
            (f"({_REWARD} - {_UPLIFT}) / {_SERVED}", "{{artifact}} input"),
        ],
    ),
    Panel(
        title="Predicted p_click",
        unit="percentunit",
        description="Mean click probability of a served list's slots: compare it with real clicks.",
        queries=[
            (mean("rerank_list_p_click", by="artifact"), "{{artifact}} mean"),
            (quantile(0.1, "rerank_list_p_click", by="artifact"), "{{artifact}} p10"),
            (quantile(0.9, "rerank_list_p_click", by="artifact"), "{{artifact}} p90"),
        ],
    ),
]
WITHOUT = [
    Panel(
        title="Degraded answers",
        unit="percentunit",
        description="Share of answers that went without something, by what it was.",
        queries=[
            (
                shares(per_second("rerank_degraded_total", by="reason"), requests(ANSWERED)),
                "{{reason}}",
            )
        ],
        limit=0.05,
    ),
    Panel(
        title="Input order by cause",
        unit="ops",
        description="Answers that no model had a part in: time was over, or a graph failed.",
        queries=[
            (per_second("rerank_input_order_total", by="artifact, cause"), "{{artifact}} {{cause}}")
        ],
    ),
    Panel(
        title="What training never saw",
        unit="ops",
        description="Requests for a list length that training never saw; lists that broke a rule.",
        queries=[
            (per_second("rerank_unseen_list_size_total"), "unseen list length"),
            (per_second("rerank_unlawful_lists_total"), "unlawful lists"),
        ],
    ),
]
TRIAL = [
    Panel(
        title="Answers by artifact",
        unit="reqps",
        description="Who answers: current, or the candidate for the users of its share.",
        queries=[(_ANSWERS, "{{artifact}}")],
        stacked=True,
    ),
    Panel(
        title="Degraded by artifact",
        unit="percentunit",
        description="Share of each artifact's answers that went without something.",
        queries=[(share(requests('outcome="degraded"', "artifact"), _ANSWERS), "{{artifact}}")],
    ),
    Panel(
        title="p99 by artifact",
        unit="s",
        description="Duration of answers, candidate beside current.",
        queries=[(quantile(0.99, REQUESTS, 'artifact!="none"', "artifact"), "{{artifact}}")],
        limit=0.05,
    ),
    Panel(
        title="Model time by artifact",
        unit="s",
        description="Mean time to generate and to evaluate, a shadow's too.",
        queries=[
            (
                mean("rerank_stage_seconds", 'stage=~"generate|evaluate"', "artifact, stage"),
                "{{artifact}} {{stage}}",
            )
        ],
    ),
    Panel(
        title="Shadow runs",
        unit="ops",
        description="Requests that the candidate met in its shadow; skipped: busy, or no store.",
        queries=[(per_second("rerank_shadow_total", by="outcome"), "{{outcome}}")],
    ),
    Panel(
        title="Changes of artifact",
        unit="short",
        description="In the last five minutes: swapped, rolled back, refused.",
        queries=[
            (
                "sum by (artifact, outcome) (increase(rerank_artifact_reloads_total"
                '{job="$job", instance=~"$instance"}[5m]))',
                "{{artifact}} {{outcome}}",
            )
        ],
    ),
]
BOARD = Board(
    uid="relist-quality",
    title="Relist / Quality",
    description="Are the lists better than what came in, and would the candidate's be?",
    rows=[("Gain", GAIN), ("What answers went without", WITHOUT), ("Current and candidate", TRIAL)],
)
