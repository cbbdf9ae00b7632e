"""The dashboard "Service": rate, errors, duration and saturation, for whoever is on call."""

from __future__ import annotations

from docker.grafana.panels import OBJECTIVE_S, OURS, Board, Panel
from docker.grafana.promql import (
    ANSWERED,
    REQUESTS,
    at_most,
    mean,
    per_second,
    quantile,
    requests,
    share,
)

_ALL = requests()
_FAILED = requests('outcome="failed"')
_UNREADY = per_second("rerank_refused_total", 'code=~"not_ready|shutting_down"')
_ERRORS = share(f"({_FAILED} + {_UNREADY})", _ALL)
_DEGRADED = share(requests('outcome="degraded"'), requests(ANSWERED))
_REFUSED = share(requests('outcome="refused"'), _ALL)
_SLOW = f"1 - {at_most(str(OBJECTIVE_S), REQUESTS, ANSWERED)}"

GLANCE = [
    Panel(
        title="Processes up",
        unit="none",
        description="Processes that Prometheus reaches. Fewer than you started: RelistWorkerDown.",
        queries=[(f"sum(up{{{OURS}}})", "up")],
        span=4,
        stat=True,
    ),
    Panel(
        title="Requests",
        unit="reqps",
        description="Rerank requests a second, whatever became of them.",
        queries=[(_ALL, "requests")],
        span=4,
        stat=True,
    ),
    Panel(
        title="Errors",
        unit="percentunit",
        description="Share of requests that end in a 5xx. The objective allows 0.1 %.",
        queries=[(_ERRORS, "errors")],
        span=4,
        stat=True,
        limit=0.001,
    ),
    Panel(
        title="p99",
        unit="s",
        description="99 % of the answers take at most this long, from first byte to answer.",
        queries=[(quantile(0.99, REQUESTS, ANSWERED), "p99")],
        span=4,
        stat=True,
        limit=OBJECTIVE_S,
    ),
    Panel(
        title="Degraded",
        unit="percentunit",
        description="Share of answers that went without something; Quality says what.",
        queries=[(_DEGRADED, "degraded")],
        span=4,
        stat=True,
        limit=0.05,
    ),
    Panel(
        title="Refused",
        unit="percentunit",
        description="Share of requests refused, with 4xx, 429 or 503.",
        queries=[(_REFUSED, "refused")],
        span=4,
        stat=True,
        limit=0.05,
    ),
]
RATE = [
    Panel(
        title="Requests by outcome",
        unit="reqps",
        description="ok and degraded are answers; gone hung up before theirs; failed is our fault.",
        queries=[(requests(by="outcome"), "{{outcome}}")],
        stacked=True,
    ),
    Panel(
        title="Errors",
        unit="percentunit",
        description="Share of requests that end in a 5xx; red is what the objective allows.",
        queries=[(_ERRORS, "errors")],
        limit=0.001,
    ),
    Panel(
        title="Refused by reason",
        unit="ops",
        description="Refusals by error code, of every path; codes without any are left out.",
        queries=[(f"{per_second('rerank_refused_total', by='code')} > 0", "{{code}}")],
    ),
]
DURATION = [
    Panel(
        title="Duration of answers",
        unit="s",
        description="Percentiles from the first byte of a request to its answer; red: objective.",
        queries=[
            (quantile(q, REQUESTS, ANSWERED), f"p{name}")
            for q, name in ((0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"))
        ],
        limit=OBJECTIVE_S,
    ),
    Panel(
        title="Slower than the objective",
        unit="percentunit",
        description="Share of answers that take more than 50 ms, exact; red: 1 %, p99's objective.",
        queries=[(_SLOW, "slower than 50 ms")],
        limit=0.01,
    ),
    Panel(
        title="p99 by outcome",
        unit="s",
        description="How long refusals and callers that hung up took, beside answers.",
        queries=[(quantile(0.99, REQUESTS, by="outcome"), "{{outcome}}")],
    ),
    Panel(
        title="Time by stage, mean",
        unit="s",
        description="What an answer's time is made of; the stages add up to it.",
        queries=[
            (
                mean("rerank_stage_seconds", 'artifact="current", stage!="total"', "stage"),
                "{{stage}}",
            )
        ],
        stacked=True,
    ),
    Panel(
        title="Time by stage, p99",
        unit="s",
        description="The slow end of each stage: queue is capacity, features is the store.",
        queries=[(quantile(0.99, "rerank_stage_seconds", 'stage!="total"', "stage"), "{{stage}}")],
    ),
    Panel(
        title="ONNX Runtime by graph",
        unit="s",
        description="One run of a graph, those that a deadline ended too.",
        queries=[
            (quantile(0.5, "rerank_graph_seconds", by="graph"), "{{graph}} p50"),
            (quantile(0.99, "rerank_graph_seconds", by="graph"), "{{graph}} p99"),
        ],
    ),
]
SATURATION = [
    Panel(
        title="In flight and waiting",
        unit="short",
        description="Requests inside, of all processes, beside the places there are.",
        queries=[
            (f"sum(rerank_in_flight_requests{{{OURS}}})", "in flight"),
            (f"sum(rerank_waiting_requests{{{OURS}}})", "waiting"),
            (f"sum by (place) (rerank_places_requests{{{OURS}}})", "places {{place}}"),
        ],
    ),
    Panel(
        title="Lists compared",
        unit="short",
        description="Lists that an answer was chosen from, the input list included; less is hurry.",
        queries=[(mean("rerank_lists_evaluated", by="artifact"), "{{artifact}}")],
    ),
    Panel(
        title="CPU",
        unit="short",
        description="Cores that each process keeps busy.",
        queries=[(per_second("process_cpu_seconds_total", by="instance"), "{{instance}}")],
    ),
    Panel(
        title="Memory",
        unit="bytes",
        description="Resident memory of each process; level after the first changes of artifact.",
        queries=[(f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}")],
    ),
    Panel(
        title="Garbage collections",
        unit="ops",
        description="Python's collections a second by generation; 2 is the one that pauses.",
        queries=[(per_second("python_gc_collections_total", by="generation"), "{{generation}}")],
    ),
    Panel(
        title="File descriptors",
        unit="short",
        description="Open ones of each process: mostly connections.",
        queries=[(f"process_open_fds{{{OURS}}}", "{{instance}}")],
    ),
    Panel(
        title="Company in the graphs",
        unit="short",
        description="Requests that shared a run, of runs that were shared: many is a full core.",
        queries=[
            (quantile(0.5, "rerank_shared_run_requests"), "p50"),
            (mean("rerank_shared_run_requests"), "mean"),
        ],
    ),
    Panel(
        title="Age of the processes",
        unit="s",
        description="Time since the start; a saw is a crash loop.",
        queries=[(f"time() - process_start_time_seconds{{{OURS}}}", "{{instance}}")],
    ),
    Panel(
        title="Artifacts in service",
        unit="short",
        description="Processes by the artifact they serve; two currents: a half-done roll-out.",
        queries=[
            (f"count by (artifact, name) (rerank_artifact_info{{{OURS}}})", "{{artifact}} {{name}}")
        ],
    ),
]
BOARD = Board(
    uid="relist-service",
    title="Relist / Service",
    description="Is it up, right and fast, and how much room is left?",
    rows=[
        ("At a glance", GLANCE),
        ("Rate and errors", RATE),
        ("Duration", DURATION),
        ("Saturation", SATURATION),
    ],
)
