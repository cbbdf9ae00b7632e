"""The one table from errors to answers, and the one shape of an error body."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic_core import to_json

from model.contract import errors as contract
from service import errors
from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    MethodNotAllowed,
    Overloaded,
    RequestError,
    Unauthorized,
)

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")

# Setbacks never reach HTTP: the use case turns them into `degraded_reasons`. Of the contract's errors those
# are missing that speak of an artifact's or a store's bytes while nobody asked over HTTP.
STATUS: dict[type[Exception], HTTPStatus] = {
    contract.MalformedJson: HTTPStatus.BAD_REQUEST,
    contract.RequestRejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    contract.ValueRejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    contract.RulesUnsatisfiable: HTTPStatus.UNPROCESSABLE_ENTITY,
    contract.RulesUndecided: HTTPStatus.UNPROCESSABLE_ENTITY,
    contract.ManifestError: HTTPStatus.CONFLICT,  # only POST /admin/artifact meets it
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


def codes() -> list[str]:
    """Every error code that a client may see."""
    return sorted(code_of(kind) for kind in STATUS)


def code_of(error: type[Exception] | Exception) -> str:
    """The stable code of an error of the table."""
    return str(getattr(error, "code", errors.InternalError.code))


def details_of(error: Exception) -> dict[str, Any]:
    """Facts of an error for the caller."""
    if isinstance(error, RequestError):
        return error.details
    if isinstance(error, contract.RequestRejected):
        return {"broken": [{"field": f, "rule": r} for f, r in error.violations]}
    if isinstance(error, contract.ValueRejected):
        return {"broken": [{"field": error.field, "rule": error.rule}]}
    if isinstance(error, contract.RulesUnsatisfiable | contract.RulesUndecided):
        return {"rules": error.constraints}
    return {}


def render(error: Exception) -> tuple[HTTPStatus, Headers, bytes]:
    """Status, headers and body of an error of the table."""
    status = STATUS[type(error)]
    headers: Headers = [JSON]
    if isinstance(error, Overloaded):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    elif isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    elif isinstance(error, MethodNotAllowed) and error.allowed:
        headers.append((b"allow", error.allowed.encode()))
    elif isinstance(error, BodyTooLarge | BodyTooSlow):
        headers.append((b"connection", b"close"))  # the rest of the body is not waited for
    body = {"code": code_of(error), "message": str(error), "details": details_of(error)}
    return status, headers, to_json({"error": body})
