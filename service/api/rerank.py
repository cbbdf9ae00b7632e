"""POST /rerank as plain ASGI: admission, body, use case, answer. Adds no logic of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import json
from starlette.types import Receive, Scope, Send

from model.contract.wire.request import RerankRequest, parse_request
from service.api.admission import Admission
from service.api.bodies import ClientGone, check_headers, read_body
from service.api.errors import ANSWERED, code_of, render
from service.api.hang_up import watch
from service.api.header_texts import header_texts
from service.api.interrupt import Interruptible
from service.api.tokens import Tokens
from service.api.trace import trace_headers, trace_id
from service.api.whole import answer_json, send_whole, whole_body
from service.errors import InternalError, NotReady
from service.rerank.deadline import Clock, Deadline
from service.rerank.reranker import Reranker, Visit
from service.telemetry import service_metrics
from service.telemetry.deferred_histogram import flush_histograms
from service.telemetry.structured_logs import log_event
from service.telemetry.tracing import RequestTrace, RequestTracer

_FOLD_EVERY = 16  # requests: enough to find the caches full, too few to be a pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What stands between the network and the use case."""

    admission: Admission
    tokens: Tokens
    max_body_bytes: int
    body_timeout_ms: int
    clock: Clock
    traces: RequestTracer | None = None


class RerankEndpoint:
    """One ASGI app for one path; every outcome is timed and counted."""

    def __init__(self, reranker: Reranker, door: Door) -> None:
        self.reranker, self._door = reranker, door
        self._uncounted = 0  # requests since histograms were folded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an error of ours becomes a 500 that says nothing."""
        began = self._door.clock()
        headers = header_texts(scope)
        journey = RequestTrace(began, headers.get("traceparent"))
        outcome: service_metrics.RequestOutcome = "failed"
        try:
            body, degraded = await self._answer(scope, headers, receive, journey)
            outcome = "degraded" if degraded else "ok"
            if not answer_json(scope, body, more := trace_headers(headers)):
                await send_whole(send, 200, [(b"content-type", b"application/json"), *more], body)
        except ClientGone:
            outcome = "disconnected"
        except asyncio.CancelledError:
            outcome = "disconnected"
            raise
        except ANSWERED as error:
            outcome = "rejected"
            await self._refuse(error, headers, send, journey)
        except Exception as error:  # noqa: BLE001  # the last line before the client
            log_event("error", "request_failed", error, trace_id=trace_id(headers))
            await self._refuse(InternalError(), headers, send, journey)
        finally:
            ended = self._door.clock()
            service_metrics.REQUEST_SECONDS.series[journey.artifact, outcome].observe(ended - began)
            self._count()
            if self._door.traces is not None:
                journey.attributes["rerank.outcome"] = outcome
                journey.failed = outcome == "failed"
                self._door.traces.record(journey, ended)

    async def _answer(
        self, scope: Scope, headers: Mapping[str, str], receive: Receive, journey: RequestTrace
    ) -> tuple[bytes, bool]:
        """The answer's bytes, and whether it went without something."""
        door = self._door
        door.tokens.require(headers)
        check_headers(headers, door.max_body_bytes)
        if self.reranker.models.current is None:
            raise NotReady
        with door.admission.enter() as visitor:
            raw = whole_body(scope, door.max_body_bytes) or await read_body(
                receive, max_bytes=door.max_body_bytes, timeout_ms=door.body_timeout_ms
            )
            with Interruptible() as work:
                unwatch = watch(scope, receive, work)
                try:
                    request, visit = self._arrive(raw, journey)
                    if not visitor.go():
                        reserve_s = self.reranker.limits.answer_reserve_ms / 1e3
                        await visitor.turn(visit.deadline.left_s() - reserve_s)
                    visit.lap("queue")
                    try:
                        answer = await self.reranker.rerank(request, visit)
                    finally:
                        journey.artifact = visit.artifact
                finally:
                    unwatch()
            return self._written(request, answer, visit, journey), bool(answer["degraded"])

    def _arrive(self, raw: bytes, journey: RequestTrace) -> tuple[RerankRequest, Visit]:
        """Parsed before the turn: the request says how long that may be waited for."""
        clock, began = self._door.clock, journey.start_s
        arrived = clock()
        request = parse_request(raw)
        parsed = clock()
        budget_s = self.reranker.limits.budget_s(request.body.budget_ms)
        visit = Visit(
            request_id=request.body.request_id or os.urandom(16).hex(),
            deadline=Deadline(began, began + budget_s, clock),
            laps=None if self._door.traces is None else journey.stages,
            mark=parsed,
        )
        visit.stage("parse", arrived, parsed)
        return request, visit

    def _written(
        self, request: RerankRequest, answer: Mapping[str, Any], visit: Visit, journey: RequestTrace
    ) -> bytes:
        """The answer's JSON, its stages counted and told."""
        if self._door.traces is not None:
            journey.attributes |= {
                "http.response.status_code": 200,
                "rerank.artifact": answer["artifact"],
                "rerank.candidates": len(request),
                "rerank.degraded": answer["degraded"],
                "rerank.lists_evaluated": answer["lists_evaluated"],
            }
        stages, artifact = service_metrics.STAGE_SECONDS.series, visit.artifact
        for stage, seconds in visit.seconds.items():
            stages[artifact, stage].observe(seconds)
        return json.encode(answer)

    def _count(self) -> None:
        self._uncounted += 1
        if self._uncounted >= _FOLD_EVERY:
            self._uncounted = 0
            flush_histograms()

    async def _refuse(
        self, error: Exception, headers: Mapping[str, str], send: Send, journey: RequestTrace
    ) -> None:
        status, own, body = render(error)
        journey.attributes |= {
            "http.response.status_code": int(status),
            "error.type": code_of(error),
        }
        service_metrics.REJECTED_REQUESTS.labels(code_of(error)).inc()
        log_event("debug", "request_rejected", code=code_of(error), trace_id=trace_id(headers))
        await send_whole(send, status, [*own, *trace_headers(headers)], body)
