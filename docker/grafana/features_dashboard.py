"""The dashboard "Features": coverage and freshness of user and item features."""

from __future__ import annotations

from docker.grafana.panels import TARGET_SELECTOR, DashboardSpec, PanelSpec
from docker.grafana.promql import (
    ANSWERED_SELECTOR,
    counter_rate,
    grouped_rate_ratio,
    histogram_quantile,
    rate_ratio,
    request_rate,
    share_at_or_below,
)

_READS = counter_rate("rerank_store_seconds_count")
_ANSWERED_READS = 'outcome=~"hit|miss|timeout"'
_TWO_DAYS_S = "172800.0"

USER_PANELS = [
    PanelSpec(
        title="Reads by outcome",
        unit="ops",
        description="One read per request. Every outcome but hit uses default user features.",
        queries=[(counter_rate("rerank_store_seconds_count", by="outcome"), "{{outcome}}")],
        stacked=True,
    ),
    PanelSpec(
        title="User store hit rate",
        unit="percentunit",
        description="Share of reads that found the user.",
        queries=[
            (rate_ratio(counter_rate("rerank_store_seconds_count", 'outcome="hit"'), _READS), "hit")
        ],
    ),
    PanelSpec(
        title="Default users",
        unit="percentunit",
        description="Share of requests with default user features, by outcome; red: alert.",
        queries=[
            (
                grouped_rate_ratio(
                    counter_rate("rerank_store_seconds_count", 'outcome!="hit"', "outcome"), _READS
                ),
                "{{outcome}}",
            )
        ],
        threshold=0.2,
    ),
    PanelSpec(
        title="Read latency",
        unit="s",
        description="Percentiles of answered and timed-out reads; red: half the budget.",
        queries=[
            (histogram_quantile(q, "rerank_store_seconds", _ANSWERED_READS), f"p{name}")
            for q, name in ((0.5, "50"), (0.99, "99"), (0.999, "99.9"))
        ],
        threshold=0.005,
    ),
    PanelSpec(
        title="Failed reads",
        unit="ops",
        description="Reads without a reply or with an unreadable record.",
        queries=[
            (
                counter_rate(
                    "rerank_store_seconds_count",
                    'outcome=~"timeout|down|unreadable|skipped"',
                    "outcome",
                ),
                "{{outcome}}",
            )
        ],
    ),
    PanelSpec(
        title="Answers without user features",
        unit="percentunit",
        description="Share of answers degraded by user_features; red: RelistDegraded.",
        queries=[
            (
                rate_ratio(
                    counter_rate("rerank_degraded_total", 'reason="user_features"'),
                    request_rate(ANSWERED_SELECTOR),
                ),
                "user_features",
            )
        ],
        threshold=0.05,
    ),
]
FRESHNESS_PANELS = [
    PanelSpec(
        title="Record age",
        unit="s",
        description="Age of the user record at read time.",
        queries=[
            (histogram_quantile(q, "rerank_feature_age_seconds"), f"p{name}")
            for q, name in ((0.5, "50"), (0.9, "90"), (0.99, "99"))
        ],
        span=12,
    ),
    PanelSpec(
        title="Stale records",
        unit="percentunit",
        description="Share of records older than two days; red: RelistStaleFeatures.",
        queries=[
            (
                f"1 - {share_at_or_below(_TWO_DAYS_S, 'rerank_feature_age_seconds')}",
                "older than 2 days",
            )
        ],
        span=12,
        threshold=0.1,
    ),
]
ITEM_PANELS = [
    PanelSpec(
        title="Unknown items",
        unit="percentunit",
        description="Share of candidates missing from the item table; red: RelistUnknownItems.",
        queries=[
            (
                rate_ratio(
                    counter_rate("rerank_unknown_items_total"),
                    counter_rate("rerank_candidates_total"),
                ),
                "unknown",
            )
        ],
        threshold=0.05,
    ),
    PanelSpec(
        title="Candidates per request",
        unit="short",
        description="Candidates of a request, mean: model time grows with them.",
        queries=[
            (
                rate_ratio(
                    counter_rate("rerank_candidates_total"), request_rate(ANSWERED_SELECTOR)
                ),
                "a request",
            )
        ],
    ),
    PanelSpec(
        title="Item table refreshes",
        unit="short",
        description="In the last five minutes, by outcome; rejected ones: RelistItemTableRejected.",
        queries=[
            (
                "sum by (outcome) "
                f"(increase(rerank_item_refreshes_total{{{TARGET_SELECTOR}}}[5m]))",
                "{{outcome}}",
            )
        ],
    ),
]
FEATURES_DASHBOARD = DashboardSpec(
    uid="relist-features",
    title="Relist / Features",
    description="Store latency, hit rate and age of user and item features.",
    rows=[("Users in Redis", USER_PANELS), ("Freshness", FRESHNESS_PANELS), ("Items", ITEM_PANELS)],
)
