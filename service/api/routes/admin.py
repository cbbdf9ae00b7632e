"""POST /admin/artifact: changes the artifact; requires the admin token."""

from __future__ import annotations

from typing import Literal, Protocol

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from model.contract.errors import MalformedJson, ManifestError, RequestRejected
from service.api.auth import BearerAuth
from service.api.body import check_body_headers, read_body
from service.api.openapi import error_response
from service.api.raw_headers import decode_header_list
from service.errors import (
    BodyTooLarge,
    BodyTooSlow,
    NoPreviousArtifact,
    ReloadInProgress,
    Unauthorized,
    UnsupportedMediaType,
)

_MAX_BODY_BYTES = 1024
_BODY_TIMEOUT_MS = 2000

_RESPONSES: dict[int | str, dict[str, object]] = {
    400: error_response([MalformedJson]),
    401: error_response([Unauthorized]),
    408: error_response([BodyTooSlow]),
    409: error_response([ManifestError, NoPreviousArtifact, ReloadInProgress]),
    413: error_response([BodyTooLarge]),
    415: error_response([UnsupportedMediaType]),
    422: error_response([RequestRejected]),
}


class ArtifactCommand(BaseModel):
    """The command: load the artifact of `current`, or go back to the previous artifact."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Literal["reload", "roll_back"] = "reload"


class ArtifactStatus(BaseModel):
    """The artifacts of this worker process after the command."""

    artifact: str
    previous: str | None
    worker: int
    workers: int


_BODY = {
    "requestBody": {
        "content": {"application/json": {"schema": ArtifactCommand.model_json_schema()}}
    }
}


class RolloutControl(Protocol):
    """Changes the artifact; raises ManifestError, NoPreviousArtifact, ReloadInProgress."""

    async def reload(self) -> None:
        """Verify, warm up and serve the present artifact of the folder."""
        ...

    async def roll_back(self) -> None:
        """Serve the previous artifact again."""
        ...

    def names(self) -> tuple[str, str | None]:
        """The current and the previous artifact."""
        ...


def admin_routes(
    rollout: RolloutControl, auth: BearerAuth, *, worker: int, workers: int
) -> APIRouter:
    """POST /admin/artifact of worker `worker`, counted from 0, of `workers`."""
    router = APIRouter(tags=["admin"], dependencies=[Depends(auth)])

    @router.post("/admin/artifact", responses=_RESPONSES, openapi_extra=_BODY)
    async def change_artifact(request: Request) -> ArtifactStatus:
        """Answers once the new artifact serves; a broken one is refused and the old one stays."""
        command = await _read_command(request)
        await (rollout.reload() if command.action == "reload" else rollout.roll_back())
        current, previous = rollout.names()
        return ArtifactStatus(artifact=current, previous=previous, worker=worker, workers=workers)

    return router


async def _read_command(request: Request) -> ArtifactCommand:
    check_body_headers(decode_header_list(request.scope), _MAX_BODY_BYTES)
    raw = await read_body(request.receive, max_bytes=_MAX_BODY_BYTES, timeout_ms=_BODY_TIMEOUT_MS)
    try:
        return ArtifactCommand.model_validate_json(raw or b"{}")
    except ValidationError as error:
        lines = error.errors(include_url=False, include_input=False)
        if lines[0]["type"] == "json_invalid":
            raise MalformedJson(reason=lines[0]["msg"]) from error
        broken = [(".".join(map(str, line["loc"])) or "body", line["msg"]) for line in lines]
        raise RequestRejected(violations=broken) from error
