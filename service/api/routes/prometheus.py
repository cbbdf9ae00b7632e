"""Prometheus metrics of this process."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


def metrics_routes() -> APIRouter:
    """GET /metrics in Prometheus' text format."""
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """All series of this process."""
        return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router
