"""The FastAPI application: routes, their OpenAPI document, and one shape of error bodies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from service.api.errors import add_error_handlers

TITLE, VERSION = "Relist", "0.1.0"

Customize = Callable[[FastAPI], None]
AddRoutes = Callable[[APIRouter], None]
# service/telemetry records requests, so FastAPI's instrumentation stays off.
_NO_TELEMETRY = {"tracing": False, "metrics": False, "logs": False}


def build_app(
    routers: Sequence[APIRouter],
    *,
    customize: Customize | None = None,
    add_routes: AddRoutes | None = None,
) -> FastAPI:
    """An application of these routes.

    customize: called before the routes are added, so that dependencies of `app.router` apply to
        them and routes and exception handlers of its own come first.
    add_routes: adds routes to the application's own router. They are matched before the routes of
        the API documents and before the included routers.
    """
    app = FastAPIOffline(
        title=TITLE, version=VERSION, redirect_slashes=False, telemetry=_NO_TELEMETRY
    )
    add_error_handlers(app)
    document_routes = app.router.routes.copy()
    app.router.routes.clear()
    if customize is not None:
        customize(app)
    if add_routes is not None:
        add_routes(app.router)
    app.router.routes.extend(document_routes)
    for router in routers:
        app.include_router(router)
    return app
