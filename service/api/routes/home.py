"""The start page, with links to the pages of this service."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse


def home_routes(*, playground: bool) -> APIRouter:
    """GET / with links to the documentation and, where it is on, the playground."""
    router = APIRouter(include_in_schema=False)
    links = {"docs": "API documentation", "redoc": "API reference"}
    if playground:
        links["playground"] = "Playground"
    items = "".join(f'<li><a href="{path}">{text}</a></li>' for path, text in links.items())
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Relist</title></head>'
        f"<body><h1>Relist</h1><ul>{items}</ul></body></html>"
    )

    @router.get("/")
    async def home() -> HTMLResponse:
        """Links to the API documentation and the playground."""
        return HTMLResponse(page)

    return router
