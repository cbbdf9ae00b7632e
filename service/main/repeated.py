"""The protocol for callers that send the same head again: whole requests go past the parser.

What a head, a body and a connection may be is `protocol.py`'s, which heads may be known
`known_heads.py`'s. Known they are when one of them got its 200 in one piece: only POST /rerank
answers so, and only whom it let in. Others would fill this memory for nothing, or to harm.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.api.whole import WHOLE
from service.main.known_heads import Head, KnownHeads, plain_head
from service.main.protocol import BoundedProtocol

_KNOWN = KnownHeads()


class RepeatedProtocol(BoundedProtocol):
    """One connection. Between two messages the parser holds nothing, and one may do without it."""

    _begun = 0  # messages so far
    _whole = 0

    def data_received(self, data: bytes) -> None:
        """Run a whole request whose head is known, or feed the parser, and see what it makes."""
        before, cycle = self._begun, self.cycle
        alone = self._whole == before and (cycle is None or cycle.response_complete)
        if alone and not self._ended and (known := _KNOWN.find(data)) is not None:
            self._run(*known)
            return
        super().data_received(data)
        if alone and not self._ended and self._begun == self._whole == before + 1:
            self._consider(data)

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        self._begun += 1
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._whole += 1
        super().on_message_complete()

    def _consider(self, data: bytes) -> None:
        """Let the answer to this request, which has not begun yet, teach its head."""
        head = plain_head(data, self.scope) if self.cycle.keep_alive else None
        if head is not None:
            whole: dict[Any, Any] = {
                "body": self._whole_body,
                "answer": partial(self._answer_and_learn, head),
            }
            self.cycle.scope["extensions"] = {**self._extensions, WHOLE: whole}

    def _answer_and_learn(self, head: Head, scope: Scope, lines: bytes, body: bytes) -> bool:
        answered = self._whole_answer(scope, lines, body)
        if answered:
            _KNOWN.learn(head)
        return answered

    def _run(self, head: Head, body: bytes) -> None:
        """What the parser's callbacks would come to."""
        self._idle.since = math.inf
        self._forget_timer()
        self._in_head = False
        scope: Any = {
            **head.scope,
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "state": self.app_state.copy(),
            "extensions": self._extensions,
        }
        self.scope = scope
        self.headers = scope["headers"]
        cycle = self.cycle = RequestResponseCycle(
            scope,
            self.transport,
            self.flow,
            self.logger,
            self.access_logger,
            self.access_log,
            self.server_state.default_headers,
            asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        cycle.body, cycle.more_body = bytearray(body), False
        cycle.message_event.set()
        self._start_asgi_task(cycle, self.app)
