"""The FastAPI application around one model, as the composition root builds it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI

from service.api.app import Customize, build_app
from service.api.auth import BearerAuth
from service.api.concurrency import ConcurrencyLimiter
from service.api.openapi import document_rerank
from service.api.request_metrics import RerankMetricsMiddleware
from service.api.routes.rerank import RerankDependencies, add_rerank_route
from service.rerank.reranker import Reranker
from service.telemetry.tracing import RequestTracer


def rerank_app(
    reranker: Reranker,
    *,
    limiter: ConcurrencyLimiter | None = None,
    tokens: Sequence[str] = (),
    traces: RequestTracer | None = None,
    customize: Customize | None = None,
) -> FastAPI:
    """POST /rerank alone."""
    dependencies = RerankDependencies(
        reranker=reranker,
        limiter=limiter or ConcurrencyLimiter(max_inflight=4, max_waiting=4),
        max_body_bytes=100_000,
        body_timeout_ms=2000,
        clock=time.monotonic,
        traces_stages=traces is not None,
    )
    auth = BearerAuth(tokens) if tokens else None
    add = partial(add_rerank_route, dependencies=dependencies, auth=auth)
    app = build_app([], customize=customize, add_routes=add)
    app.add_middleware(RerankMetricsMiddleware, clock=time.monotonic, traces=traces)
    document_rerank(app, {})
    return app
