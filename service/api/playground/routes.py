"""The page `/playground` and what it reads: users and requests of the log, with titles.

The page itself is static and open; what tells of users needs the token that `/rerank` needs. Lists
are made by `/rerank` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from model.contract.errors import RequestRejected
from service.api.openapi import error_response
from service.api.playground.catalog import Catalog
from service.api.playground.shown import ruled_fields, shown_items
from service.api.tokens import Tokens
from service.errors import NotReady, PathNotFound, Unauthorized
from service.rerank.model import ModelHolder

PAGE = "index.html"
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# Nothing from elsewhere, nothing inline, no frame around it.
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
    """Part of the users."""

    total: int
    users: list[LoggedUser]


class LoggedRequest(BaseModel):
    """A request of the log; `rate_at` is its address."""

    at: int
    candidates: int
    timestamp: int | None


class RequestPage(BaseModel):
    """Part of a user's requests."""

    total: int
    requests: list[LoggedRequest]


class ShownItem(BaseModel):
    """A candidate as people see it."""

    item_id: str
    title: str
    numbers: dict[str, float]
    values: dict[str, list[str]]


class ShownRequest(BaseModel):
    """A logged request as `/rerank` takes it, and what its candidates are called."""

    at: int
    request: dict[str, Any]
    clicked: list[str] | None
    items: list[ShownItem]
    ruled_fields: list[str]


def playground_routes(catalog: Catalog, models: ModelHolder, tokens: Tokens) -> APIRouter:
    """The page and the addresses it reads from."""
    router = APIRouter(tags=["playground"])
    router.include_router(_page_routes())

    @router.get("/playground/users", responses=_RESPONSES)
    async def users(
        request: Request, prefix: str = "", offset: _Offset = 0, limit: _Limit = 50
    ) -> UserPage:
        """Users of the log whose id begins with `prefix`."""
        tokens.require(request.headers)
        found = catalog.users(prefix)
        part = found[offset : offset + limit]
        return UserPage(
            total=len(found), users=[LoggedUser(user_id=u, requests=n) for u, n in part]
        )

    @router.get("/playground/requests", responses=_RESPONSES)
    async def requests(
        request: Request, user_id: str, offset: _Offset = 0, limit: _Limit = 50
    ) -> RequestPage:
        """A user's requests."""
        tokens.require(request.headers)
        found = catalog.requests_of(user_id)
        return RequestPage(
            total=len(found),
            requests=[_told(catalog, at) for at in found[offset : offset + limit]],
        )

    @router.get(
        "/playground/requests/{at}",
        responses=_RESPONSES
        | {404: error_response([PathNotFound]), 503: error_response([NotReady])},
    )
    async def logged(request: Request, at: int) -> ShownRequest:
        """One request with its candidates' titles and values."""
        tokens.require(request.headers)
        if not 0 <= at < len(catalog):
            raise PathNotFound
        return _shown(catalog, at, models)

    return router


def _page_routes() -> APIRouter:
    """Static files, read once."""
    router = APIRouter(include_in_schema=False)
    folder = resources.files(__package__ or "service.api.playground")
    for file in folder.iterdir():
        kind = _KINDS.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            address = "/playground" if file.name == PAGE else f"/playground/{file.name}"
            _add_file(router, address, file.read_bytes(), f"{kind}; charset=utf-8")
    return router


def _add_file(router: APIRouter, address: str, content: bytes, kind: str) -> None:
    @router.get(address)
    async def static() -> Response:
        return Response(content, headers=HEADERS, media_type=kind)


def _told(catalog: Catalog, at: int) -> LoggedRequest:
    line = catalog[at]
    ids = line["request"]["candidates"]["item_id"]
    return LoggedRequest(at=at, candidates=len(ids), timestamp=line.get("timestamp"))


def _shown(catalog: Catalog, at: int, models: ModelHolder) -> ShownRequest:
    model = models.current
    if model is None:
        raise NotReady
    line = catalog[at]
    candidates = line["request"]["candidates"]
    items = shown_items(
        candidates["item_id"], candidates.get("features", {}), model.items.table, model.encoder
    )
    return ShownRequest(
        at=at,
        request=line["request"],
        clicked=_clicked(candidates["item_id"], line.get("labels", {})),
        items=[ShownItem(**item) for item in items],
        ruled_fields=ruled_fields(model.manifest.features),
    )


def _clicked(ids: list[str], labels: Mapping[str, Any]) -> list[str] | None:
    """Items that the user did click: of all candidates where that is known, else of those shown."""
    if labels.get("clicks") is not None:
        return [i for i, click in zip(ids, labels["clicks"], strict=True) if click == 1]
    if labels.get("shown_clicks") is not None:
        shown = zip(labels["shown"], labels["shown_clicks"], strict=True)
        return [i for i, click in shown if click == 1]
    return None
