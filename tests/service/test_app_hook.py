"""RERANK_APP_HOOK: a user's middleware, dependency, handler and route act in a real process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.asking import body_of
from tests.service.serving import Serving, own_environment

HOOK = '''
from fastapi import Depends, FastAPI, Header, Request
from starlette.responses import JSONResponse


class QuotaExceeded(Exception):
    pass


class AddHeader:
    """Pure ASGI middleware."""

    def __init__(self, app, value):
        self.app, self.value = app, value

    async def __call__(self, scope, receive, send):
        async def send_with_header(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-served-by", self.value)]
            await send(message)

        await self.app(scope, receive, send_with_header)


def check_quota(x_tenant: str = Header(default="")) -> None:
    if x_tenant == "greedy":
        raise QuotaExceeded


async def on_quota_exceeded(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"quota": "exceeded"}, status_code=402)


def customize(app: FastAPI) -> None:
    app.add_middleware(AddHeader, value=b"a-test")
    app.add_exception_handler(QuotaExceeded, on_quota_exceeded)
    app.router.dependencies.append(Depends(check_quota))

    @app.get("/version")
    async def version() -> str:
        return "1"
'''


@pytest.fixture(scope="module")
def server(artifact_folder, tmp_path_factory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("hook")
    (folder / "own_hook.py").write_text(HOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        serving = Serving(
            artifact_folder, app_hook="own_hook:customize", request_budget_ms=900, log_level="debug"
        )
    with serving:
        yield serving.ready()


def post(server: Serving, artifact, tenant: str) -> httpx.Response:
    with server.client(headers={"x-tenant": tenant}) as client:
        return client.post("/rerank", json=body_of(artifact))


def test_app_hook_middleware_acts_on_rerank(server, artifact):
    response = post(server, artifact, "modest")

    assert (response.status_code, response.headers["x-served-by"]) == (200, "a-test")


def test_app_hook_dependency_and_handler_act_on_rerank(server, artifact):
    before = server.metric('rerank_request_seconds_count{artifact="none",outcome="rejected"}')

    response = post(server, artifact, "greedy")

    assert (response.status_code, response.json()) == (402, {"quota": "exceeded"})
    assert response.headers["x-served-by"] == "a-test"
    after = server.metric('rerank_request_seconds_count{artifact="none",outcome="rejected"}')
    assert after == before + 1


def test_app_hook_route_is_served_and_documented(server):
    with server.client() as client:
        assert client.get("/version").json() == "1"
        paths = client.get("/openapi.json").json()["paths"]

    assert "/version" in paths
    rerank = paths["/rerank"]["post"]
    assert "x-tenant" in [parameter["name"] for parameter in rerank["parameters"]]


@pytest.mark.parametrize("hook", ["no_such_module:customize", "json:no_such_function"])
def test_app_hook_that_cannot_be_imported_stops_the_start(artifact_folder: Path, hook: str):
    done = subprocess.run(
        [sys.executable, "-m", "service.cli.main", "serve"],
        env=own_environment(artifact_dir=artifact_folder, port=0, app_hook=hook),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert "RERANK_APP_HOOK" in done.stderr
    assert "Traceback" not in done.stderr
