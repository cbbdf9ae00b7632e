"""The FastAPI application: routes, their documents, and one shape for every error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline

from service.api.errors import add_error_handlers

TITLE, VERSION = "Relist", "0.1.0"

Customize = Callable[[FastAPI], None]


def build_app(routers: Sequence[APIRouter], customize: Customize | None = None) -> FastAPI:
    """An application of these routes.

    customize: called before the routes are added, so that dependencies of `app.router` apply to
        them and routes and exception handlers of its own come first.
    """
    app = FastAPIOffline(title=TITLE, version=VERSION, redirect_slashes=False)
    add_error_handlers(app)
    if customize is not None:
        customize(app)
    for router in routers:
        app.include_router(router)
    return app
