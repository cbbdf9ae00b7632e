"""POST /rerank: admission, body, use case, response. Adds no ranking logic of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from msgspec import json
from starlette.types import Receive, Scope, Send

from model.contract.wire.request import RerankRequest, parse_request
from service.api.auth import BearerAuth
from service.api.body import check_body_headers, read_body
from service.api.concurrency import ConcurrencyLimiter
from service.api.disconnect import CancelledOnDisconnect, ClientDisconnected
from service.api.errors import ANSWERED
from service.api.openapi import RERANK_OPERATION, rerank_responses
from service.api.request_metrics import RERANK_PATH, RerankRecord, rerank_record
from service.api.trace_context import trace_id
from service.errors import InternalError, NotReady
from service.rerank.deadline import Clock, Deadline
from service.rerank.request_context import RequestContext
from service.rerank.reranker import Reranker
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankDependencies:
    """Collaborators of the route."""

    reranker: Reranker
    limiter: ConcurrencyLimiter
    max_body_bytes: int
    body_timeout_ms: int
    clock: Clock
    traces_stages: bool = False


class RawRequestRoute(APIRoute):
    """A route whose endpoint takes the request alone and returns a response.

    Without dependencies FastAPI has nothing to resolve or close, so the endpoint is called without
    its handler. Middleware and exception handlers of the application act on both.
    """

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:  # noqa: ANN401  # FastAPI's
        super().__init__(path, endpoint, **options)
        if not self.dependencies:
            self.app = self._call_endpoint

    async def _call_endpoint(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def add_rerank_route(
    router: APIRouter, dependencies: RerankDependencies, auth: BearerAuth | None
) -> None:
    """Add POST /rerank to a router; open to every client where `auth` is None.

    Meant for an application's own router: FastAPI matches an included router twice a request.
    """
    router.add_api_route(
        RERANK_PATH,
        RerankEndpoint(dependencies).rerank,
        methods=["POST"],
        tags=["rerank"],
        summary="The best list of these candidates for this user",
        response_class=Response,
        responses=rerank_responses(),
        openapi_extra=RERANK_OPERATION,
        operation_id="rerank",
        dependencies=[] if auth is None else [Depends(auth)],
        route_class_override=RawRequestRoute,
    )


class RerankEndpoint:
    """Converts an HTTP request to a call of the use case, and its result to a response."""

    def __init__(self, dependencies: RerankDependencies) -> None:
        self._own = dependencies

    async def rerank(self, request: Request) -> Response:
        """Return 200 for every valid request once an artifact is loaded.

        `degraded` names the missing parts of the response.
        """
        record = rerank_record(request.scope)
        if record is None:
            raise RuntimeError("RerankMetricsMiddleware is missing")
        try:
            body = await self._answer(request, record)
        except ClientDisconnected:
            record.disconnected = True
            raise
        except ANSWERED:
            raise
        except Exception as error:
            log_event("error", "request_failed", error, trace_id=trace_id(request.headers))
            raise InternalError from error
        return Response(body, media_type="application/json")

    async def _answer(self, request: Request, record: RerankRecord) -> bytes:
        own = self._own
        check_body_headers(record.headers, own.max_body_bytes)
        if own.reranker.artifact_slot.current is None:
            raise NotReady
        with own.limiter.acquire() as permit:
            raw = await read_body(
                request.receive, max_bytes=own.max_body_bytes, timeout_ms=own.body_timeout_ms
            )
            with CancelledOnDisconnect(request.receive):
                parsed, context = self._parse(raw, record)
                reserve_s = own.reranker.limits.answer_reserve_ms / 1e3
                await permit.wait_for_slot(context.deadline.left_s() - reserve_s)
                context.record_stage("queue")
                try:
                    answer = await own.reranker.rerank(parsed, context)
                finally:
                    record.trace.artifact = context.artifact
        record.degraded = bool(answer["degraded"])
        self._record_stages(len(parsed), answer, context, record)
        return json.encode(answer)

    def _parse(self, raw: bytes, record: RerankRecord) -> tuple[RerankRequest, RequestContext]:
        """Parse before the wait for a slot, because the request limits its own wait."""
        clock, began = self._own.clock, record.began
        arrived = clock()
        request = parse_request(raw)
        parsed = clock()
        budget_s = self._own.reranker.limits.budget_s(request.body.budget_ms)
        context = RequestContext(
            request_id=request.body.request_id or os.urandom(16).hex(),
            deadline=Deadline(began, began + budget_s, clock),
            spans=record.trace.stages if self._own.traces_stages else None,
            stage_started=parsed,
        )
        context.record_timed_stage("parse", arrived, parsed)
        return request, context

    def _record_stages(
        self,
        candidates: int,
        answer: Mapping[str, Any],
        context: RequestContext,
        record: RerankRecord,
    ) -> None:
        """Record stage times as metrics and facts of the response in the trace."""
        stages, artifact = service_metrics.STAGE_SECONDS.series, context.artifact
        for stage, seconds in context.seconds.items():
            stages[artifact, stage].observe(seconds)
        if self._own.traces_stages:
            record.trace.attributes |= {
                "rerank.artifact": answer["artifact"],
                "rerank.candidates": candidates,
                "rerank.degraded": answer["degraded"],
                "rerank.lists_evaluated": answer["lists_evaluated"],
            }
