"""Every metric of the service, declared once. Labels come from closed sets; no ids anywhere.

Series with a closed label set exist from the start, so that a rate over them is never "no data".
Names after Prometheus conventions: seconds, `_total`, the unit last.
"""

from __future__ import annotations

from itertools import product
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, disable_created_metrics

from service.telemetry.histogram import Histogram
from service.telemetry.tally import Tally

Outcome = Literal["ok", "degraded", "refused", "failed", "gone"]
StageLabel = Literal["queue", "parse", "features", "encode", "generate", "evaluate", "total"]
GraphLabel = Literal["generator", "generator_rules", "evaluator", "refiner", "refiner_rules"]
StoreOutcome = Literal["hit", "unknown", "timeout", "down", "unreadable", "skipped"]
DegradedReason = Literal["user_features", "fewer_lists", "input_order", "explanation"]
InputOrderCause = Literal["budget_spent", "graph_failed"]
Role = Literal["current", "candidate"]
Answering = Literal["current", "candidate", "none"]  # none: refused or gone before one was chosen
Places = Literal["in_flight", "waiting"]
ShadowOutcome = Literal["done", "skipped", "failed"]
ItemsOutcome = Literal["swapped", "same", "absent", "refused", "unavailable"]
ReloadOutcome = Literal["swapped", "refused", "rolled_back"]

# nobody reads them, and they are a third of all series
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here

# Close together around the 50 ms objective, where a wrong p99 would change a decision; the low
# end is where an unloaded service answers.
_REQUEST_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04,
    0.045, 0.05, 0.055, 0.06, 0.08, 0.12, 0.25, 0.5, 1.0,
)  # fmt: skip
_STAGE_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01,
    0.02, 0.03, 0.04, 0.05, 0.1, 0.25, 1.0,
)  # fmt: skip
_AGE_S = (60, 600, 3600, 6 * 3600, 86_400, 2 * 86_400, 7 * 86_400, 30 * 86_400)
_REWARD = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 25, 100, 1000)
_UPLIFT = (0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 100)
_SHARE = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

REQUEST_SECONDS = Histogram(
    "rerank_request_seconds",
    "From the first byte of a rerank request to its answer",
    ("artifact", "outcome"),
    buckets=_REQUEST_S,
)
STAGE_SECONDS = Histogram(
    "rerank_stage_seconds",
    "Time in one stage of an answered rerank request; a candidate in shadow only generates and "
    "evaluates",
    ("artifact", "stage"),
    buckets=_STAGE_S,
)
GRAPH_SECONDS = Histogram(
    "rerank_graph_seconds",
    "Time of one ONNX Runtime run for a request, its share of one that others shared; those that "
    "were stopped or failed too",
    ("artifact", "graph"),
    buckets=_STAGE_S,
)
SHARED_RUN = Histogram(
    "rerank_shared_run_requests",
    "Requests that shared a run of the generator's graph, of runs that were shared",
    (),
    buckets=(2, 3, 4, 6, 8, 12, 16),
)
REFUSED = Counter("rerank_refused_total", "Requests refused, by error code", ("code",))
DEGRADED = Counter(
    "rerank_degraded_total", "Answers that went without something", ("artifact", "reason")
)
INPUT_ORDER = Counter(
    "rerank_input_order_total",
    "Answers in input order, by what kept the model out",
    ("artifact", "cause"),
)
IN_FLIGHT = Gauge("rerank_in_flight_requests", "Requests being worked on")
WAITING = Gauge("rerank_waiting_requests", "Requests admitted and waiting for their turn")
PLACES = Gauge(
    "rerank_places_requests", "Most requests that the process lets in, by what they do", ("place",)
)

LISTS_EVALUATED = Histogram(
    "rerank_lists_evaluated",
    "Lists that the evaluator compared for one answer, refined and input list included",
    ("artifact",),
    buckets=(1, 2, 3, 6, 10, 18, 34, 66, 130, 1025),
)
UPLIFT = Histogram(
    "rerank_reward_uplift",
    "Predicted reward of the served list minus that of the input list",
    ("artifact",),
    buckets=_UPLIFT,
)
REWARD = Histogram(
    "rerank_reward", "Predicted reward of the served list", ("artifact",), buckets=_REWARD
)
P_CLICK = Histogram(
    "rerank_list_p_click",
    "Mean predicted click probability of the served list's slots",
    ("artifact",),
    buckets=_SHARE,
)
CHANGED_SLOTS = Histogram(
    "rerank_changed_slots",
    "Slots of the served list that hold another item than in the input list",
    ("artifact",),
    buckets=(0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50),
)
UNLAWFUL_LISTS = Counter(
    "rerank_unlawful_lists_total",
    "Generated and refined lists dropped because they broke a rule",
    ("artifact",),
)
UNKNOWN_ITEMS = Counter("rerank_unknown_items_total", "Candidates that the item table has not")
CANDIDATES = Tally("rerank_candidates_total", "Candidates on offer")
UNSEEN_LIST_SIZE = Counter(
    "rerank_unseen_list_size_total",
    "Requests for a list length that training never saw",
    ("artifact",),
)

STORE_SECONDS = Histogram(
    "rerank_store_seconds", "Time of one read of the user store", ("outcome",), buckets=_STAGE_S
)
FEATURE_AGE_SECONDS = Histogram(
    "rerank_feature_age_seconds", "Age of the user's record when it was read", buckets=_AGE_S
)

ARTIFACT_INFO = Gauge(
    "rerank_artifact_info",
    "1 for each artifact that serves",
    ("artifact", "name", "schema_hash"),
)
RELOADS = Counter(
    "rerank_artifact_reloads_total",
    "Changes of an artifact in its role, and those refused",
    ("artifact", "outcome"),
)
ITEM_REFRESHES = Counter(
    "rerank_item_refreshes_total",
    "Looks for another item table in the store; one that does not fit is refused at each look",
    ("outcome",),
)
SHADOW = Counter(
    "rerank_shadow_total", "Answered requests that met the candidate in its shadow", ("outcome",)
)
READY = Gauge("rerank_ready", "1 while the process takes rerank requests")

# a metric and the closed set of each of its labels, in their order
_CLOSED: tuple[tuple[Counter | Histogram, tuple[object, ...]], ...] = (
    (REQUEST_SECONDS, (Answering, Outcome)),
    (STAGE_SECONDS, (Role, StageLabel)),
    (GRAPH_SECONDS, (Role, GraphLabel)),
    (DEGRADED, (Role, DegradedReason)),
    (INPUT_ORDER, (Role, InputOrderCause)),
    (LISTS_EVALUATED, (Role,)),
    (UNLAWFUL_LISTS, (Role,)),
    (UNSEEN_LIST_SIZE, (Role,)),
    (UPLIFT, (Role,)),
    (REWARD, (Role,)),
    (P_CLICK, (Role,)),
    (CHANGED_SLOTS, (Role,)),
    (STORE_SECONDS, (StoreOutcome,)),
    (RELOADS, (Role, ReloadOutcome)),
    (ITEM_REFRESHES, (ItemsOutcome,)),
    (SHADOW, (ShadowOutcome,)),
)
for _metric, _sets in _CLOSED:
    for _labels in product(*map(get_args, _sets)):
        _metric.labels(*_labels)


def declare_refusals(codes: list[str]) -> None:
    """Start the series of every error code at zero."""
    for code in codes:
        REFUSED.labels(code)


def set_artifact(role: Role, name: str, schema_hash: str) -> None:
    """Name the artifact that serves in this role from now on."""
    for labels in [s.labels for metric in ARTIFACT_INFO.collect() for s in metric.samples]:
        if labels["artifact"] == role:
            ARTIFACT_INFO.remove(role, labels["name"], labels["schema_hash"])
    ARTIFACT_INFO.labels(role, name, schema_hash).set(1)
