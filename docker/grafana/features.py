"""The dashboard "Features": what the service knows of users and items, and how fresh it is."""

from __future__ import annotations

from docker.grafana.panels import OURS, Board, Panel
from docker.grafana.promql import ANSWERED, at_most, per_second, quantile, requests, share, shares

_READS = per_second("rerank_store_seconds_count")
_ANSWERED_READS = 'outcome=~"hit|unknown|timeout"'
_TWO_DAYS_S = "172800.0"

USERS = [
    Panel(
        title="Reads by outcome",
        unit="ops",
        description="One read a request. All but hit leave the request with the default user.",
        queries=[(per_second("rerank_store_seconds_count", by="outcome"), "{{outcome}}")],
        stacked=True,
    ),
    Panel(
        title="Users found",
        unit="percentunit",
        description="Share of reads that found the user.",
        queries=[(share(per_second("rerank_store_seconds_count", 'outcome="hit"'), _READS), "hit")],
    ),
    Panel(
        title="Default users",
        unit="percentunit",
        description="Share of requests served as the default user, by why; red: the alert.",
        queries=[
            (
                shares(
                    per_second("rerank_store_seconds_count", 'outcome!="hit"', "outcome"), _READS
                ),
                "{{outcome}}",
            )
        ],
        limit=0.2,
    ),
    Panel(
        title="Time of a read",
        unit="s",
        description="Percentiles of reads that were answered or given up; red: half their budget.",
        queries=[
            (quantile(q, "rerank_store_seconds", _ANSWERED_READS), f"p{name}")
            for q, name in ((0.5, "50"), (0.99, "99"), (0.999, "99.9"))
        ],
        limit=0.005,
    ),
    Panel(
        title="Time-outs and faults",
        unit="ops",
        description="Reads that ended without an answer, or with one that cannot be read.",
        queries=[
            (
                per_second(
                    "rerank_store_seconds_count",
                    'outcome=~"timeout|down|unreadable|skipped"',
                    "outcome",
                ),
                "{{outcome}}",
            )
        ],
    ),
    Panel(
        title="Answers without the user",
        unit="percentunit",
        description="Share of answers degraded by user_features; red: RelistDegraded.",
        queries=[
            (
                share(
                    per_second("rerank_degraded_total", 'reason="user_features"'),
                    requests(ANSWERED),
                ),
                "user_features",
            )
        ],
        limit=0.05,
    ),
]
FRESHNESS = [
    Panel(
        title="Age of the records",
        unit="s",
        description="How long before its read a user's record was written.",
        queries=[
            (quantile(q, "rerank_feature_age_seconds"), f"p{name}")
            for q, name in ((0.5, "50"), (0.9, "90"), (0.99, "99"))
        ],
        span=12,
    ),
    Panel(
        title="Stale records",
        unit="percentunit",
        description="Share of records older than two days; red: RelistStaleFeatures.",
        queries=[
            (f"1 - {at_most(_TWO_DAYS_S, 'rerank_feature_age_seconds')}", "older than 2 days")
        ],
        span=12,
        limit=0.1,
    ),
]
ITEMS = [
    Panel(
        title="Unknown items",
        unit="percentunit",
        description="Share of candidates that the item table has not; red: RelistUnknownItems.",
        queries=[
            (
                share(
                    per_second("rerank_unknown_items_total"),
                    per_second("rerank_candidates_total"),
                ),
                "unknown",
            )
        ],
        limit=0.05,
    ),
    Panel(
        title="Candidates on offer",
        unit="short",
        description="Candidates of a request, mean: model time grows with them.",
        queries=[
            (
                share(per_second("rerank_candidates_total"), requests(ANSWERED)),
                "a request",
            )
        ],
    ),
    Panel(
        title="Looks for another item table",
        unit="short",
        description="In the last five minutes, by outcome; refused ones: RelistItemsRefused.",
        queries=[
            (
                f"sum by (outcome) (increase(rerank_item_refreshes_total{{{OURS}}}[5m]))",
                "{{outcome}}",
            )
        ],
    ),
]
BOARD = Board(
    uid="relist-features",
    title="Relist / Features",
    description="Does the store answer, does it know the users, and how old is what it knows?",
    rows=[("Users in Redis", USERS), ("Freshness", FRESHNESS), ("Items", ITEMS)],
)
