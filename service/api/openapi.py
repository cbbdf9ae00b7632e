"""The OpenAPI document: /rerank is plain ASGI, so its part is written here from the wire models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from model.contract.wire.request import RerankRequestBody
from model.contract.wire.response import ErrorResponse, RerankResponse
from service import errors
from service.api.errors import STATUS, code_of

_REF = "#/components/schemas/{model}"
# Errors of other doors than /rerank.
_ELSEWHERE: frozenset[type[Exception]] = frozenset(
    {
        errors.PathNotFound,
        errors.MethodNotAllowed,
        errors.NoPreviousArtifact,
        errors.ReloadInProgress,
    }
)


def describe(
    document: dict[str, Any], *, example: Mapping[str, Any] | None, secured: bool
) -> dict[str, Any]:
    """Add /rerank, the error shape and the wire models to FastAPI's document."""
    _, definitions = models_json_schema(
        [
            (RerankRequestBody, "validation"),
            (RerankResponse, "serialization"),
            (ErrorResponse, "serialization"),
        ],
        ref_template=_REF,
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions["$defs"])
    document["paths"]["/rerank"] = {"post": _operation(example, secured)}
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document


def error_response(kinds: Sequence[type[Exception]]) -> dict[str, Any]:
    """An answer of the one error shape, naming the codes it may carry."""
    return {
        "description": ", ".join(sorted({code_of(kind) for kind in kinds})),
        "content": _json(ErrorResponse),
    }


def _operation(example: Mapping[str, Any] | None, secured: bool) -> dict[str, Any]:
    body = _json(RerankRequestBody)
    if example:
        body["application/json"]["example"] = example
    by_status: dict[HTTPStatus, list[type[Exception]]] = {}
    for kind, status in STATUS.items():
        if kind not in _ELSEWHERE and code_of(kind) != "manifest_error":
            by_status.setdefault(status, []).append(kind)
    responses: dict[str, Any] = {
        "200": {"description": "the list to show", "content": _json(RerankResponse)}
    }
    responses |= {str(int(s)): error_response(kinds) for s, kinds in sorted(by_status.items())}
    operation: dict[str, Any] = {
        "operationId": "rerank",
        "summary": "The best list of these candidates for this user",
        "description": "Answers 200 whenever the request is right and an artifact is loaded; "
        "`degraded` names what the answer went without.",
        "requestBody": {"required": True, "content": body},
        "responses": responses,
    }
    if secured:
        operation["security"] = [{"token": []}]
    return operation


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}
