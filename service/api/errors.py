"""The table from errors to HTTP statuses, the shape of error bodies, and FastAPI's handlers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from model.contract import errors as contract
from service import errors
from service.api.disconnect import ClientDisconnected
from service.api.request_metrics import rerank_record
from service.api.trace_context import trace_id
from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    InternalError,
    MethodNotAllowed,
    Overloaded,
    PathNotFound,
    RequestError,
    Unauthorized,
)
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

_CLIENT_CLOSED_REQUEST = 499  # as nginx logs it; the client does not receive it

# A DegradationError never reaches HTTP: the use case turns it into `degraded`. Contract errors
# about the bytes of an artifact or a store are missing, except ManifestError: no request causes
# them.
STATUS: dict[type[Exception], HTTPStatus] = {
    contract.MalformedJson: HTTPStatus.BAD_REQUEST,
    contract.RequestRejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    contract.ValueRejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    contract.RulesUnsatisfiable: HTTPStatus.UNPROCESSABLE_ENTITY,
    contract.RulesUndecided: HTTPStatus.UNPROCESSABLE_ENTITY,
    contract.ManifestError: HTTPStatus.CONFLICT,  # only from POST /admin/artifact
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.PathNotFound: HTTPStatus.NOT_FOUND,
    errors.MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.MalformedHttp: HTTPStatus.BAD_REQUEST,
    errors.HeadTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.UnsupportedMediaType: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.BodyTooSlow: HTTPStatus.REQUEST_TIMEOUT,
    errors.LimitExceeded: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Overloaded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ShuttingDown: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NoPreviousArtifact: HTTPStatus.CONFLICT,
    errors.ReloadInProgress: HTTPStatus.CONFLICT,
    errors.InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
ANSWERED = tuple(STATUS)


def error_codes() -> list[str]:
    """Every error code that a client may receive."""
    return sorted(code_of(kind) for kind in STATUS)


def code_of(error: type[Exception] | Exception) -> str:
    """The stable code of an error of the table."""
    return str(getattr(error, "code", errors.InternalError.code))


def details_of(error: Exception) -> dict[str, Any]:
    """Facts of an error for the client."""
    if isinstance(error, RequestError):
        return error.details
    if isinstance(error, contract.RequestRejected):
        return {"broken": [{"field": f, "rule": r} for f, r in error.violations]}
    if isinstance(error, contract.ValueRejected):
        return {"broken": [{"field": error.field, "rule": error.rule}]}
    if isinstance(error, contract.RulesUnsatisfiable | contract.RulesUndecided):
        return {"rules": error.constraints}
    return {}


def render(error: Exception) -> tuple[HTTPStatus, dict[str, str], bytes]:
    """Status, headers and body of an error of the table."""
    status = STATUS[type(error)]
    headers = {"content-type": "application/json"}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(error.retry_after_s)
    elif isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    elif isinstance(error, MethodNotAllowed) and error.allowed:
        headers["allow"] = error.allowed
    elif isinstance(error, BodyTooLarge | BodyTooSlow):
        headers["connection"] = "close"  # the rest of the body is not read
    body = {"code": code_of(error), "message": str(error), "details": details_of(error)}
    return status, headers, to_json({"error": body})


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of the table, and the framework's own errors, in the one shape."""
    for kind in STATUS:
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(ClientDisconnected, _answer_disconnected)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(Exception, _answer_unknown)


async def _answer(request: Request, error: Exception) -> Response:
    status, headers, body = render(error)
    code = code_of(error)
    service_metrics.REJECTED_REQUESTS.labels(code).inc()
    log_event("debug", "request_rejected", code=code, trace_id=trace_id(request.headers))
    if (record := rerank_record(request.scope)) is not None:
        record.trace.attributes["error.type"] = code
    return Response(body, status_code=status, headers=headers)


async def _answer_disconnected(request: Request, error: Exception) -> Response:
    """A response that the server drops: its client is gone."""
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    http = error if isinstance(error, HTTPException) else HTTPException(500)
    if http.status_code == 404:
        return await _answer(request, PathNotFound())
    if http.status_code == 405:
        allowed = (http.headers or {}).get("Allow", "")
        return await _answer(request, MethodNotAllowed(allowed=allowed))
    if http.status_code == 400:
        return await _answer(request, contract.MalformedJson(reason="it cannot be read"))
    return await _answer_unknown(request, error)


async def _answer_invalid(request: Request, error: Exception) -> Response:
    lines = error.errors() if isinstance(error, RequestValidationError) else []
    if any(line["type"] == "json_invalid" for line in lines):
        return await _answer(request, contract.MalformedJson(reason="it cannot be read"))
    broken = [(".".join(map(str, line["loc"][1:])) or "body", line["msg"]) for line in lines]
    return await _answer(
        request, contract.RequestRejected(violations=broken or [("body", "is not right")])
    )


async def _answer_unknown(request: Request, error: Exception) -> Response:
    log_event("error", "request_failed", error, trace_id=trace_id(request.headers))
    return await _answer(request, InternalError())
