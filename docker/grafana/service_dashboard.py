"""The dashboard "Service": rate, errors, duration and saturation, for the engineer on call."""

from __future__ import annotations

from docker.grafana.panels import LATENCY_OBJECTIVE_S, TARGET_SELECTOR, DashboardSpec, PanelSpec
from docker.grafana.promql import (
    ANSWERED_SELECTOR,
    REQUEST_DURATION,
    counter_rate,
    histogram_mean,
    histogram_quantile,
    rate_ratio,
    request_rate,
    share_at_or_below,
)

_ALL = request_rate()
_FAILED = request_rate('outcome="failed"')
_UNREADY = counter_rate("rerank_rejected_total", 'code=~"not_ready|shutting_down"')
_ERRORS = rate_ratio(f"({_FAILED} + {_UNREADY})", _ALL)
_DEGRADED = rate_ratio(request_rate('outcome="degraded"'), request_rate(ANSWERED_SELECTOR))
_REFUSED = rate_ratio(request_rate('outcome="rejected"'), _ALL)
_SLOW = f"1 - {share_at_or_below(str(LATENCY_OBJECTIVE_S), REQUEST_DURATION, ANSWERED_SELECTOR)}"

OVERVIEW_PANELS = [
    PanelSpec(
        title="Processes up",
        unit="none",
        description="Processes that Prometheus reaches. Fewer than you started: RelistWorkerDown.",
        queries=[(f"sum(up{{{TARGET_SELECTOR}}})", "up")],
        span=4,
        stat=True,
    ),
    PanelSpec(
        title="Requests",
        unit="reqps",
        description="Rerank requests per second, all outcomes.",
        queries=[(_ALL, "requests")],
        span=4,
        stat=True,
    ),
    PanelSpec(
        title="Errors",
        unit="percentunit",
        description="Share of requests that end in a 5xx. The objective allows 0.1 %.",
        queries=[(_ERRORS, "errors")],
        span=4,
        stat=True,
        threshold=0.001,
    ),
    PanelSpec(
        title="p99",
        unit="s",
        description="99 % of the answers take at most this long, from first byte to answer.",
        queries=[(histogram_quantile(0.99, REQUEST_DURATION, ANSWERED_SELECTOR), "p99")],
        span=4,
        stat=True,
        threshold=LATENCY_OBJECTIVE_S,
    ),
    PanelSpec(
        title="Degraded",
        unit="percentunit",
        description="Share of degraded answers; reasons are on the Quality dashboard.",
        queries=[(_DEGRADED, "degraded")],
        span=4,
        stat=True,
        threshold=0.05,
    ),
    PanelSpec(
        title="Rejected",
        unit="percentunit",
        description="Share of requests rejected with a 4xx or 503.",
        queries=[(_REFUSED, "rejected")],
        span=4,
        stat=True,
        threshold=0.05,
    ),
]
RATE_PANELS = [
    PanelSpec(
        title="Requests by outcome",
        unit="reqps",
        description="ok and degraded are answers; disconnected: client left early; failed: 5xx.",
        queries=[(request_rate(by="outcome"), "{{outcome}}")],
        stacked=True,
    ),
    PanelSpec(
        title="Errors",
        unit="percentunit",
        description="Share of requests that end in a 5xx; red is what the objective allows.",
        queries=[(_ERRORS, "errors")],
        threshold=0.001,
    ),
    PanelSpec(
        title="Rejected by error code",
        unit="ops",
        description="Rejected requests by error code, all paths; codes with zero are hidden.",
        queries=[(f"{counter_rate('rerank_rejected_total', by='code')} > 0", "{{code}}")],
    ),
]
DURATION_PANELS = [
    PanelSpec(
        title="Duration of answers",
        unit="s",
        description="Percentiles from the first byte of a request to its answer; red: objective.",
        queries=[
            (histogram_quantile(q, REQUEST_DURATION, ANSWERED_SELECTOR), f"p{name}")
            for q, name in ((0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"))
        ],
        threshold=LATENCY_OBJECTIVE_S,
    ),
    PanelSpec(
        title="Slower than the objective",
        unit="percentunit",
        description="Share of answers that take more than 50 ms, exact; red: 1 %, p99's objective.",
        queries=[(_SLOW, "slower than 50 ms")],
        threshold=0.01,
    ),
    PanelSpec(
        title="p99 by outcome",
        unit="s",
        description="Duration of each outcome: answers, rejections and disconnects.",
        queries=[(histogram_quantile(0.99, REQUEST_DURATION, by="outcome"), "{{outcome}}")],
    ),
    PanelSpec(
        title="Time by stage, mean",
        unit="s",
        description="Mean time per stage of an answer; the stages add up to the total.",
        queries=[
            (
                histogram_mean(
                    "rerank_stage_seconds", 'artifact="current", stage!="total"', "stage"
                ),
                "{{stage}}",
            )
        ],
        stacked=True,
    ),
    PanelSpec(
        title="Time by stage, p99",
        unit="s",
        description="The slow end of each stage: queue is capacity, features is the store.",
        queries=[
            (
                histogram_quantile(0.99, "rerank_stage_seconds", 'stage!="total"', "stage"),
                "{{stage}}",
            )
        ],
    ),
    PanelSpec(
        title="ONNX Runtime by graph",
        unit="s",
        description="Time of one graph run, terminated runs included.",
        queries=[
            (histogram_quantile(0.5, "rerank_graph_seconds", by="graph"), "{{graph}} p50"),
            (histogram_quantile(0.99, "rerank_graph_seconds", by="graph"), "{{graph}} p99"),
        ],
    ),
]
SATURATION_PANELS = [
    PanelSpec(
        title="In-flight and waiting requests",
        unit="short",
        description="Requests in all processes and their limits.",
        queries=[
            (f"sum(rerank_in_flight_requests{{{TARGET_SELECTOR}}})", "in flight"),
            (f"sum(rerank_waiting_requests{{{TARGET_SELECTOR}}})", "waiting"),
            (f"sum by (state) (rerank_max_requests{{{TARGET_SELECTOR}}})", "limit {{state}}"),
        ],
    ),
    PanelSpec(
        title="Lists evaluated",
        unit="short",
        description="Lists evaluated per answer, input list included; drops under time pressure.",
        queries=[(histogram_mean("rerank_lists_evaluated", by="artifact"), "{{artifact}}")],
    ),
    PanelSpec(
        title="CPU",
        unit="short",
        description="Cores that each process keeps busy.",
        queries=[(counter_rate("process_cpu_seconds_total", by="instance"), "{{instance}}")],
    ),
    PanelSpec(
        title="Memory",
        unit="bytes",
        description="Resident memory of each process; level after the first changes of artifact.",
        queries=[(f"process_resident_memory_bytes{{{TARGET_SELECTOR}}}", "{{instance}}")],
    ),
    PanelSpec(
        title="Garbage collections",
        unit="ops",
        description="Python's collections a second by generation; 2 is the one that pauses.",
        queries=[(counter_rate("python_gc_collections_total", by="generation"), "{{generation}}")],
    ),
    PanelSpec(
        title="File descriptors",
        unit="short",
        description="Open ones of each process: mostly connections.",
        queries=[(f"process_open_fds{{{TARGET_SELECTOR}}}", "{{instance}}")],
    ),
    PanelSpec(
        title="Batch size",
        unit="short",
        description="Requests per batched generator run; large batches mean a saturated core.",
        queries=[
            (histogram_quantile(0.5, "rerank_batch_size_requests"), "p50"),
            (histogram_mean("rerank_batch_size_requests"), "mean"),
        ],
    ),
    PanelSpec(
        title="Process uptime",
        unit="s",
        description="Time since start; a sawtooth is a crash loop.",
        queries=[(f"time() - process_start_time_seconds{{{TARGET_SELECTOR}}}", "{{instance}}")],
    ),
    PanelSpec(
        title="Loaded artifacts",
        unit="short",
        description="Processes per artifact; two current ones: an unfinished rollout.",
        queries=[
            (
                f"count by (artifact, name) (rerank_artifact_info{{{TARGET_SELECTOR}}})",
                "{{artifact}} {{name}}",
            )
        ],
    ),
]
SERVICE_DASHBOARD = DashboardSpec(
    uid="relist-service",
    title="Relist / Service",
    description="Availability, errors, latency and saturation.",
    rows=[
        ("Overview", OVERVIEW_PANELS),
        ("Rate and errors", RATE_PANELS),
        ("Duration", DURATION_PANELS),
        ("Saturation", SATURATION_PANELS),
    ],
)
