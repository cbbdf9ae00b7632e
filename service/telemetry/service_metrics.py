"""Declarations of every metric of the service; labels come from closed sets and hold no ids.

Series with a closed label set exist from the start, so that a rate over them is never "no data".
Names follow the conventions of Prometheus: base units, the unit last, `_total` for counters.
"""

from __future__ import annotations

from itertools import product
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, disable_created_metrics

from service.telemetry.deferred_histogram import DeferredHistogram

RequestOutcome = Literal["ok", "degraded", "rejected", "failed", "disconnected"]
StageLabel = Literal["queue", "parse", "features", "encode", "generate", "evaluate", "total"]
GraphLabel = Literal["generator", "generator_rules", "evaluator", "refiner", "refiner_rules"]
StoreOutcome = Literal["hit", "miss", "timeout", "down", "unreadable", "skipped"]
DegradedReason = Literal["user_features", "fewer_lists", "input_order", "explanation"]
InputOrderCause = Literal["deadline_exceeded", "inference_failed"]
ArtifactRole = Literal["current", "canary"]
ArtifactLabel = Literal["current", "canary", "none"]  # none: ended before one was chosen
RequestState = Literal["in_flight", "waiting"]
ShadowOutcome = Literal["done", "skipped", "failed"]
ItemRefreshOutcome = Literal["swapped", "unchanged", "absent", "rejected", "unavailable", "failed"]
ReloadOutcome = Literal["swapped", "rejected", "rolled_back", "withdrawn"]

# `_created` series are unused and would be a third of all series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here

# Buckets are close around the 50 ms objective, where a wrong p99 would change a decision, and at
# the low end, where an unloaded service answers.
_REQUEST_BUCKETS_S = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04,
    0.045, 0.05, 0.055, 0.06, 0.08, 0.12, 0.25, 0.5, 1.0,
)  # fmt: skip
_STAGE_BUCKETS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01,
    0.02, 0.03, 0.04, 0.05, 0.1, 0.25, 1.0,
)  # fmt: skip
_AGE_BUCKETS_S = (60, 600, 3600, 6 * 3600, 86_400, 2 * 86_400, 7 * 86_400, 30 * 86_400)
_REWARD_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 25, 100, 1000)
_UPLIFT_BUCKETS = (0.0, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 100)
_PROBABILITY_BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

REQUEST_SECONDS = DeferredHistogram(
    "rerank_request_seconds",
    "Time from the first byte of a rerank request to its response",
    ("artifact", "outcome"),
    buckets=_REQUEST_BUCKETS_S,
)
STAGE_SECONDS = DeferredHistogram(
    "rerank_stage_seconds",
    "Time in one stage of an answered rerank request; a canary in shadow only generates and "
    "evaluates",
    ("artifact", "stage"),
    buckets=_STAGE_BUCKETS_S,
)
GRAPH_SECONDS = DeferredHistogram(
    "rerank_graph_seconds",
    "Time of one ONNX Runtime run for a request, its share of a batched run; includes terminated "
    "and failed runs",
    ("artifact", "graph"),
    buckets=_STAGE_BUCKETS_S,
)
BATCH_SIZE = DeferredHistogram(
    "rerank_batch_size_requests",
    "Requests per batched run of the generator, batches of one excluded",
    (),
    buckets=(2, 3, 4, 6, 8, 12, 16),
)
REJECTED_REQUESTS = Counter("rerank_rejected_total", "Requests rejected, by error code", ("code",))
DEGRADED_ANSWERS = Counter("rerank_degraded_total", "Degraded answers", ("artifact", "reason"))
INPUT_ORDER_ANSWERS = Counter(
    "rerank_input_order_total",
    "Answers in input order, by cause",
    ("artifact", "cause"),
)
IN_FLIGHT_REQUESTS = Gauge("rerank_in_flight_requests", "Requests being worked on")
WAITING_REQUESTS = Gauge("rerank_waiting_requests", "Requests admitted and waiting for a slot")
MAX_REQUESTS = Gauge(
    "rerank_max_requests", "Maximum number of requests admitted, by state", ("state",)
)

LISTS_EVALUATED = DeferredHistogram(
    "rerank_lists_evaluated",
    "Lists that the evaluator compared for one answer, refined and input list included",
    ("artifact",),
    buckets=(1, 2, 3, 6, 10, 18, 34, 66, 130, 1025),
)
REWARD_UPLIFT = DeferredHistogram(
    "rerank_reward_uplift",
    "Predicted reward of the served list minus that of the input list",
    ("artifact",),
    buckets=_UPLIFT_BUCKETS,
)
SERVED_REWARD = DeferredHistogram(
    "rerank_reward", "Predicted reward of the served list", ("artifact",), buckets=_REWARD_BUCKETS
)
MEAN_P_CLICK = DeferredHistogram(
    "rerank_list_p_click",
    "Mean predicted click probability of the served list's slots",
    ("artifact",),
    buckets=_PROBABILITY_BUCKETS,
)
CHANGED_SLOTS = DeferredHistogram(
    "rerank_changed_slots",
    "Slots of the served list that hold another item than in the input list",
    ("artifact",),
    buckets=(0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50),
)
INFEASIBLE_LISTS = Counter(
    "rerank_infeasible_lists_total",
    "Generated and refined lists dropped as infeasible",
    ("artifact",),
)
UNKNOWN_ITEMS = Counter("rerank_unknown_items_total", "Candidates missing from the item table")
OFFERED_CANDIDATES = Counter("rerank_candidates_total", "Candidates per request")
UNSEEN_LIST_SIZE = Counter(
    "rerank_unseen_list_size_total",
    "Requests for a list length not seen in training",
    ("artifact",),
)

STORE_SECONDS = DeferredHistogram(
    "rerank_store_seconds",
    "Time of one read of the user store",
    ("outcome",),
    buckets=_STAGE_BUCKETS_S,
)
FEATURE_AGE_SECONDS = DeferredHistogram(
    "rerank_feature_age_seconds",
    "Age of the user's record when it was read",
    buckets=_AGE_BUCKETS_S,
)

ARTIFACT_INFO = Gauge(
    "rerank_artifact_info",
    "1 for each loaded artifact",
    ("artifact", "name", "schema_hash"),
)
KERNELS_INFO = Gauge(
    "rerank_kernels_info",
    "1 for the implementation of the request path's loops: numba or numpy",
    ("implementation",),
)
ARTIFACT_RELOADS = Counter(
    "rerank_artifact_reloads_total",
    "Artifact changes by role, rejected and withdrawn artifacts included",
    ("artifact", "outcome"),
)
ITEM_REFRESHES = Counter(
    "rerank_item_refreshes_total",
    "Checks for a new item table in the store; an incompatible one is rejected at each check",
    ("outcome",),
)
SHADOW_RUNS = Counter(
    "rerank_shadow_total", "Answered requests that the canary ran in shadow", ("outcome",)
)
PROCESS_READY = Gauge("rerank_ready", "1 while the process takes rerank requests")

# Each metric with the closed set of each of its labels, in label order.
_CLOSED_LABELS: tuple[tuple[Counter | DeferredHistogram, tuple[object, ...]], ...] = (
    (REQUEST_SECONDS, (ArtifactLabel, RequestOutcome)),
    (STAGE_SECONDS, (ArtifactRole, StageLabel)),
    (GRAPH_SECONDS, (ArtifactRole, GraphLabel)),
    (DEGRADED_ANSWERS, (ArtifactRole, DegradedReason)),
    (INPUT_ORDER_ANSWERS, (ArtifactRole, InputOrderCause)),
    (LISTS_EVALUATED, (ArtifactRole,)),
    (INFEASIBLE_LISTS, (ArtifactRole,)),
    (UNSEEN_LIST_SIZE, (ArtifactRole,)),
    (REWARD_UPLIFT, (ArtifactRole,)),
    (SERVED_REWARD, (ArtifactRole,)),
    (MEAN_P_CLICK, (ArtifactRole,)),
    (CHANGED_SLOTS, (ArtifactRole,)),
    (STORE_SECONDS, (StoreOutcome,)),
    (ARTIFACT_RELOADS, (ArtifactRole, ReloadOutcome)),
    (ITEM_REFRESHES, (ItemRefreshOutcome,)),
    (SHADOW_RUNS, (ShadowOutcome,)),
)
for _metric, _sets in _CLOSED_LABELS:
    for _labels in product(*map(get_args, _sets)):
        _metric.labels(*_labels)


def declare_error_codes(codes: list[str]) -> None:
    """Start the series of every error code at zero."""
    for code in codes:
        REJECTED_REQUESTS.labels(code)


def set_artifact_info(role: ArtifactRole, name: str, schema_hash: str) -> None:
    """Set the artifact of a role; removes the previous artifact's series."""
    clear_artifact_info(role)
    ARTIFACT_INFO.labels(role, name, schema_hash).set(1)


def clear_artifact_info(role: ArtifactRole) -> None:
    """Remove the series of the artifact of a role."""
    for labels in [s.labels for metric in ARTIFACT_INFO.collect() for s in metric.samples]:
        if labels["artifact"] == role:
            ARTIFACT_INFO.remove(role, labels["name"], labels["schema_hash"])
