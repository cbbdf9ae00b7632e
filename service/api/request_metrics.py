"""Middleware that times, counts and traces every POST /rerank, whatever its response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.raw_headers import RawHeaders, decode_header_list
from service.api.trace_context import trace_headers
from service.rerank.deadline import Clock
from service.telemetry import service_metrics
from service.telemetry.deferred_histogram import flush_histograms
from service.telemetry.tracing import RequestTrace, RequestTracer

RERANK_PATH = "/rerank"
_STATE_KEY = "rerank_record"  # in an ASGI scope's state
_FLUSH_EVERY = 16  # requests between two flushes of the histograms


@dataclass(slots=True)
class RerankRecord:
    """Facts of one POST /rerank, collected while it runs.

    began: on the middleware's clock, seconds.
    headers: of the request.
    degraded: the response lacks something.
    disconnected: the client left before its response.
    status: of the response, None until it starts.
    """

    began: float
    headers: RawHeaders
    trace: RequestTrace
    degraded: bool = False
    disconnected: bool = False
    status: int | None = None

    @property
    def outcome(self) -> service_metrics.RequestOutcome:
        """The request's label in metrics and traces."""
        if self.disconnected or self.status is None:
            return "disconnected"
        if self.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return "failed"
        if self.status >= HTTPStatus.BAD_REQUEST:
            return "rejected"
        return "degraded" if self.degraded else "ok"


def rerank_record(scope: Mapping[str, Any]) -> RerankRecord | None:
    """The record of the request with this scope; None for another path."""
    record: RerankRecord | None = scope.get("state", {}).get(_STATE_KEY)
    return record


class RerankMetricsMiddleware:
    """ASGI middleware; requests for other paths pass through."""

    def __init__(self, app: ASGIApp, *, clock: Clock, traces: RequestTracer | None) -> None:
        self._app, self._clock, self._traces = app, clock, traces
        self._unflushed = 0  # requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; add the client's trace context to the response."""
        if not (
            scope["type"] == "http" and scope["path"] == RERANK_PATH and scope["method"] == "POST"
        ):
            await self._app(scope, receive, send)
            return
        began, headers = self._clock(), decode_header_list(scope)
        value = headers.get(b"traceparent")
        traceparent = None if value is None else value.decode("latin-1")
        record = RerankRecord(began, headers, RequestTrace(began, traceparent))
        scope.setdefault("state", {})[_STATE_KEY] = record
        more = trace_headers(traceparent)

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        try:
            await self._app(scope, receive, send_recorded)
        except Exception:
            record.status = HTTPStatus.INTERNAL_SERVER_ERROR  # sent by an outer middleware
            raise
        finally:
            self._observe(record)

    def _observe(self, record: RerankRecord) -> None:
        ended, outcome, trace = self._clock(), record.outcome, record.trace
        service_metrics.REQUEST_SECONDS.series[trace.artifact, outcome].observe(
            ended - record.began
        )
        self._unflushed += 1
        if self._unflushed >= _FLUSH_EVERY:
            self._unflushed = 0
            flush_histograms()
        if self._traces is None:
            return
        trace.attributes["rerank.outcome"] = outcome
        trace.failed = outcome == "failed"
        if record.status is not None and not record.disconnected:
            trace.attributes["http.response.status_code"] = int(record.status)
        self._traces.record(trace, ended)
