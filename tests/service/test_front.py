"""Which of the two applications a request meets."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.api.front import Front


@pytest.mark.parametrize(
    ("method", "path", "met"),
    [
        ("POST", "/rerank", "endpoint"),
        ("GET", "/rerank", "framework"),  # which answers 405
        ("POST", "/rerank/", "framework"),
        ("GET", "/health/ready", "framework"),
    ],
)
async def test_only_a_post_to_rerank_takes_the_short_way(method, path, met):
    passed = []

    def app(name: str):
        async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
            passed.append((name, scope))

        return asgi

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": method, "path": path}
    await Front(app("framework"), app("endpoint"))(scope, receive, send)

    assert passed == [(met, scope)]
