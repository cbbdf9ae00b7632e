"""Liveness and readiness probes."""

from __future__ import annotations

from fastapi import APIRouter, Response

from service.api.errors import render
from service.api.openapi import error_response
from service.api.readiness import Readiness
from service.errors import NotReady, ShuttingDown


def health_routes(readiness: Readiness) -> APIRouter:
    """GET /health/live and GET /health/ready."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """200 while the event loop answers."""
        return {"status": "live"}

    @router.get("/health/ready", responses={503: error_response([NotReady, ShuttingDown])})
    async def ready() -> Response:
        """200 once a verified artifact is warmed up, whatever the store does."""
        error = readiness.not_ready_reason()
        if error is None:
            return Response(b'{"status":"ready"}', media_type="application/json")
        status, headers, body = render(error)
        return Response(body, status_code=status, headers=headers)

    return router
