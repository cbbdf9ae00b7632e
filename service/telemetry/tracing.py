"""OpenTelemetry spans of requests, recorded after the response from its stage times.

SDK and exporter are the optional extra `[otel]`, imported only when an endpoint is set. Spans wait
in a bounded queue and are exported on a thread of the SDK, so a collector that is down costs spans,
never a response. No user id, item id or token becomes an attribute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

    from service.telemetry import service_metrics

AttributeValue = str | int | float | bool | list[str]
_SERVICE = "relist"
_EXPORT_TIMEOUT_S = 2.0  # of one export with its retries; also limits a shutdown


class TracingNotInstalledError(RuntimeError):
    """An endpoint is set and the packages of the extra `[otel]` are not installed."""

    def __init__(self, missing: str | None) -> None:
        super().__init__(
            f"RERANK_OTEL_ENDPOINT needs the extra: pip install 'relist[otel]' (no {missing})"
        )


class StageSpan(NamedTuple):
    """One stage of a request on the monotonic clock, in seconds."""

    stage: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class RequestTrace:
    """Times and attributes of one request, from which its span is recorded.

    start_s: on the monotonic clock, in seconds.
    traceparent: W3C header of the request, None without one.
    """

    start_s: float
    traceparent: str | None = None
    stages: list[StageSpan] = field(default_factory=list)
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    failed: bool = False
    artifact: service_metrics.ArtifactLabel = "none"


class RequestTracer:
    """Records spans from request traces."""

    def __init__(self, processor: SpanProcessor, wall_ns: Callable[[], int] = time.time_ns) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({SERVICE_NAME: _SERVICE})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(_SERVICE)
        self._propagator = TraceContextTextMapPropagator()
        self._wall_ns = wall_ns

    def record(self, trace: RequestTrace, end_s: float) -> None:
        """Record a span from `start_s` to `end_s` (monotonic seconds), with a child per stage."""
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        now_ns = self._wall_ns()

        def wall_time_ns(monotonic_s: float) -> int:
            return now_ns - round((end_s - monotonic_s) * 1e9)

        header = trace.traceparent
        parent = self._propagator.extract({} if header is None else {"traceparent": header})
        span = self._tracer.start_span(
            "POST /rerank",
            parent,
            SpanKind.SERVER,
            attributes=trace.attributes,
            start_time=wall_time_ns(trace.start_s),
        )
        context = set_span_in_context(span, parent)
        for stage in trace.stages:
            start_ns = wall_time_ns(stage.start_s)
            child = self._tracer.start_span(stage.stage, context, start_time=start_ns)
            child.end(wall_time_ns(stage.end_s))
        if trace.failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now_ns)

    def close(self) -> None:
        """Export pending spans; blocks up to the export timeout."""
        self._provider.shutdown()


def require_otel_extra(endpoint: str | None) -> None:
    """Raise TracingNotInstalledError when an endpoint is set and the extra is not installed."""
    if endpoint is None:
        return
    try:
        import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ModuleNotFoundError as error:
        raise TracingNotInstalledError(error.name) from error


def open_request_tracer(endpoint: str | None) -> RequestTracer | None:
    """A tracer for an OTLP/HTTP endpoint (`http://host:4318/v1/traces`); None without one.

    Raises TracingNotInstalledError when the extra is not installed.
    """
    if endpoint is None:
        return None
    require_otel_extra(endpoint)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return RequestTracer(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=_EXPORT_TIMEOUT_S)))
