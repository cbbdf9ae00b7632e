"""Whose heads the service itself remembers: of requests that it let in and answered."""

from __future__ import annotations

import dataclasses

from starlette.types import Receive, Scope, Send

from service.api.front import RERANK_PATH, Front
from service.api.header_texts import HEADER_TEXTS
from service.api.rerank import RerankEndpoint
from service.api.tokens import Tokens
from service.main import repeated
from service.main.known_heads import KnownHeads
from tests.service.test_protocol import LAST, post
from tests.service.test_request_path_counts import body, endpoint_of
from tests.service.wire import Wire


class Reranking(Wire):
    """An endpoint before the way around the framework."""

    def __init__(self, endpoint: RerankEndpoint) -> None:
        super().__init__()
        self._front = Front(super()._app, endpoint)
        self.known: list[bool] = []

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == RERANK_PATH:
            self.known.append(HEADER_TEXTS in scope)
        await self._front(scope, receive, send)


def test_a_head_is_remembered_only_of_who_showed_a_token_and_was_answered(artifact, monkeypatch):
    monkeypatch.setattr(repeated, "_KNOWN", KnownHeads())
    endpoint = endpoint_of(artifact)
    door = dataclasses.replace(endpoint._door, tokens=Tokens(["right"], open_without=False))
    raw, no_json = body(artifact, 12, "columns"), b"{"
    right, wrong = (b"authorization: Bearer %s\r\n" % word for word in (b"right", b"wrong"))
    refused = [post(b"/rerank", raw, wrong) + raw, post(b"/rerank", no_json, right) + no_json]
    answered = post(b"/rerank", raw, right) + raw

    with Reranking(RerankEndpoint(endpoint.reranker, door)) as wire:
        statuses = [
            wire.answers(request, LAST)[0][0]
            for request in [refused[0], refused[0], refused[1], refused[1], answered, answered]
        ]

    assert statuses == [401, 401, 400, 400, 200, 200]
    assert wire.known == [False, False, False, False, False, True]
