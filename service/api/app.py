"""The HTTP application: routes, documents and one error shape for everything that can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from model.contract.errors import MalformedJson, RequestRejected
from service.api.errors import ANSWERED, code_of, render
from service.api.front import RERANK_PATH
from service.api.openapi import describe
from service.api.rerank import RerankEndpoint
from service.api.trace import trace_id
from service.errors import InternalError, MethodNotAllowed, PathNotFound
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

TITLE, VERSION = "Relist", "0.1.0"


def build_app(
    routers: list[APIRouter],
    rerank: RerankEndpoint | None = None,
    *,
    example: Mapping[str, Any] | None = None,
    secured: bool = False,
) -> FastAPI:
    """An application of these routes; `example` is a request that works when pasted."""
    app = FastAPI(title=TITLE, version=VERSION, redirect_slashes=False)
    if rerank is not None:  # first, because routes are tried in order
        app.router.routes.insert(0, Route(RERANK_PATH, rerank, methods=["POST"]))
    for router in routers:
        app.include_router(router)
    for kind in ANSWERED:
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(Exception, _answer_unknown)
    if rerank is not None:
        _document(app, example=example, secured=secured)
    return app


def _document(app: FastAPI, *, example: Mapping[str, Any] | None, secured: bool) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            bare = get_openapi(title=TITLE, version=VERSION, routes=app.routes)
            app.openapi_schema = describe(bare, example=example, secured=secured)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


async def _answer(request: Request, error: Exception) -> Response:
    status, headers, body = render(error)
    service_metrics.REJECTED_REQUESTS.labels(code_of(error)).inc()
    response = Response(body, status_code=status)
    response.raw_headers.extend(headers)
    return response


async def _answer_http(request: Request, error: Exception) -> Response:
    http = error if isinstance(error, HTTPException) else HTTPException(500)
    if http.status_code == 404:
        return await _answer(request, PathNotFound())
    if http.status_code == 405:
        allowed = (http.headers or {}).get("Allow", "")
        return await _answer(request, MethodNotAllowed(allowed=allowed))
    if http.status_code == 400:
        return await _answer(request, MalformedJson(reason="it cannot be read"))
    return await _answer_unknown(request, error)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    lines = error.errors() if isinstance(error, RequestValidationError) else []
    if any(line["type"] == "json_invalid" for line in lines):
        return await _answer(request, MalformedJson(reason="it cannot be read"))
    broken = [(".".join(map(str, line["loc"][1:])) or "body", line["msg"]) for line in lines]
    return await _answer(request, RequestRejected(violations=broken or [("body", "is not right")]))


async def _answer_unknown(request: Request, error: Exception) -> Response:
    log_event("error", "request_failed", error, trace_id=trace_id(request.headers))
    return await _answer(request, InternalError())
