"""The page `/playground` and its data: users and requests of the log, with titles.

The page is static and needs no token; data of users needs the token of `/rerank`. Lists come from
`/rerank` alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.params import Depends as DependsParam
from pydantic import BaseModel

from model.contract.errors import RequestRejected
from service.api.auth import BearerAuth
from service.api.openapi import error_response
from service.api.playground.displayed_items import describe_items, rule_fields
from service.api.playground.request_catalog import RequestCatalog
from service.errors import NotReady, PathNotFound, Unauthorized
from service.rerank.artifact_slot import ArtifactSlot

PAGE = "index.html"
_STATIC_PACKAGE = "service.api.playground"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# no external or inline resources, no embedding in frames
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_Offset = Annotated[int, Query(ge=0, le=1_000_000)]
_Limit = Annotated[int, Query(ge=1, le=100)]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: error_response([Unauthorized]),
    422: error_response([RequestRejected]),
}


class LoggedUser(BaseModel):
    """A user of the log."""

    user_id: str
    requests: int


class UserPage(BaseModel):
    """One page of users."""

    total: int
    users: list[LoggedUser]


class LoggedRequest(BaseModel):
    """A request of the log; `index` is its index."""

    at: int
    candidates: int
    timestamp: int | None


class RequestPage(BaseModel):
    """One page of a user's requests."""

    total: int
    requests: list[LoggedRequest]


class DisplayedItem(BaseModel):
    """A candidate with its title and values."""

    item_id: str
    title: str
    numbers: dict[str, float]
    values: dict[str, list[str]]


class DisplayedRequest(BaseModel):
    """A logged request as `/rerank` takes it, and its candidates for display."""

    at: int
    request: dict[str, Any]
    clicked: list[str] | None
    items: list[DisplayedItem]
    ruled_fields: list[str]


def playground_routes(
    catalog: RequestCatalog, models: ArtifactSlot, auth: BearerAuth | None
) -> APIRouter:
    """Routes of the page and of its data."""
    checks: Sequence[DependsParam] = [] if auth is None else [Depends(auth)]
    router = APIRouter()
    router.include_router(_page_routes())
    router.include_router(_data_routes(catalog, models), dependencies=checks)
    return router


def _data_routes(catalog: RequestCatalog, models: ArtifactSlot) -> APIRouter:
    router = APIRouter(tags=["playground"])

    @router.get("/playground/users", responses=_RESPONSES)
    async def users(prefix: str = "", offset: _Offset = 0, limit: _Limit = 50) -> UserPage:
        """Users of the log whose id begins with `prefix`."""
        found = catalog.users(prefix)
        part = found[offset : offset + limit]
        return UserPage(
            total=len(found), users=[LoggedUser(user_id=u, requests=n) for u, n in part]
        )

    @router.get("/playground/requests", responses=_RESPONSES)
    async def requests(user_id: str, offset: _Offset = 0, limit: _Limit = 50) -> RequestPage:
        """A user's requests."""
        found = catalog.requests_of(user_id)
        return RequestPage(
            total=len(found),
            requests=[_summary(catalog, at) for at in found[offset : offset + limit]],
        )

    @router.get(
        "/playground/requests/{at}",
        responses=_RESPONSES
        | {404: error_response([PathNotFound]), 503: error_response([NotReady])},
    )
    async def logged_request(at: int) -> DisplayedRequest:
        """One request with its candidates' titles and values."""
        if not 0 <= at < len(catalog):
            raise PathNotFound
        return _displayed(catalog, at, models)

    return router


def _page_routes() -> APIRouter:
    """Routes of the static files, which are read once."""
    router = APIRouter(include_in_schema=False)
    for file in resources.files(_STATIC_PACKAGE).iterdir():
        media_type = _MEDIA_TYPES.get("." + file.name.rpartition(".")[2])
        if media_type is not None:
            address = "/playground" if file.name == PAGE else f"/playground/{file.name}"
            _add_file(router, address, file.read_bytes(), f"{media_type}; charset=utf-8")
    return router


def _add_file(router: APIRouter, address: str, content: bytes, media_type: str) -> None:
    @router.get(address)
    async def static() -> Response:
        return Response(content, headers=HEADERS, media_type=media_type)


def _summary(catalog: RequestCatalog, at: int) -> LoggedRequest:
    line = catalog[at]
    ids = line["request"]["candidates"]["item_id"]
    return LoggedRequest(at=at, candidates=len(ids), timestamp=line.get("timestamp"))


def _displayed(catalog: RequestCatalog, at: int, models: ArtifactSlot) -> DisplayedRequest:
    model = models.current
    if model is None:
        raise NotReady
    line = catalog[at]
    candidates = line["request"]["candidates"]
    items = describe_items(
        candidates["item_id"], candidates.get("features", {}), model.items.table, model.encoder
    )
    return DisplayedRequest(
        at=at,
        request=line["request"],
        clicked=_clicked(candidates["item_id"], line.get("labels", {})),
        items=[DisplayedItem(**item) for item in items],
        ruled_fields=rule_fields(model.manifest.features),
    )


def _clicked(ids: list[str], labels: Mapping[str, Any]) -> list[str] | None:
    """Clicked items: of all candidates where their labels are known, else of the shown ones."""
    if labels.get("clicks") is not None:
        return [i for i, click in zip(ids, labels["clicks"], strict=True) if click == 1]
    if labels.get("shown_clicks") is not None:
        shown = zip(labels["shown"], labels["shown_clicks"], strict=True)
        return [i for i, click in shown if click == 1]
    return None
