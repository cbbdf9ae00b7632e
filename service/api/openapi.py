"""The parts of the OpenAPI document that FastAPI cannot derive: POST /rerank reads its raw body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from model.contract.wire.request import RerankRequestBody
from model.contract.wire.response import ErrorResponse, RerankResponse
from service import errors
from service.api.errors import STATUS, code_of

_REF = "#/components/schemas/{model}"
_RERANK_BODY = {"schema": {"$ref": _REF.format(model=RerankRequestBody.__name__)}}
RERANK_OPERATION: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": _RERANK_BODY}}
}
# error codes of paths other than /rerank
_OF_OTHER_PATHS: frozenset[type[Exception]] = frozenset(
    {
        errors.PathNotFound,
        errors.MethodNotAllowed,
        errors.NoPreviousArtifact,
        errors.ReloadInProgress,
    }
)


def error_response(kinds: Sequence[type[Exception]]) -> dict[str, Any]:
    """A response with the shared error body, naming its possible codes."""
    return {"description": ", ".join(sorted({code_of(k) for k in kinds})), "model": ErrorResponse}


def rerank_responses() -> dict[int | str, dict[str, Any]]:
    """Every response of POST /rerank."""
    by_status: dict[HTTPStatus, list[type[Exception]]] = {}
    for kind, status in STATUS.items():
        if kind not in _OF_OTHER_PATHS and code_of(kind) != "manifest_error":
            by_status.setdefault(status, []).append(kind)
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "the list to show", "model": RerankResponse}
    }
    for status, kinds in sorted(by_status.items()):
        responses[int(status)] = error_response(kinds)
    return responses


def document_rerank(app: FastAPI, example: Mapping[str, Any]) -> None:
    """Add the request body of POST /rerank to the document, with an example once there is one."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _, body = models_json_schema([(RerankRequestBody, "validation")], ref_template=_REF)
            document["components"]["schemas"].update(body["$defs"])
            if example:
                operation = document["paths"]["/rerank"]["post"]
                content = {"application/json": {**_RERANK_BODY, "example": dict(example)}}
                operation["requestBody"] = {"required": True, "content": content}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
