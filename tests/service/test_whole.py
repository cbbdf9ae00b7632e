"""Bodies and answers of one piece: the short way is taken where it can be, and says the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from service.api.whole import WHOLE, answer_json, send_whole, whole_body
from service.errors import BodyTooLarge
from tests.service.test_protocol import get, post
from tests.service.wire import WholeWire


@pytest.fixture
def wire() -> Iterator[WholeWire]:
    with WholeWire() as made:
        yield made


def scope_of(**abilities: Any) -> dict[str, Any]:
    return {"type": "http", "extensions": {WHOLE: abilities}}


def test_a_whole_body_is_taken_and_bounded_like_any_other():
    scope = scope_of(body=lambda scope: b"12345")

    assert whole_body(scope, 5) == b"12345"
    with pytest.raises(BodyTooLarge):
        whole_body(scope, 4)


@pytest.mark.parametrize("scope", [{"type": "http"}, scope_of(body=lambda scope: None)])
def test_a_body_that_is_not_whole_is_left_to_the_messages(scope):
    assert whole_body(scope, 5) is None


async def test_an_answer_is_given_whole_or_left_to_messages_that_say_the_same():
    given: list[tuple[bytes, bytes]] = []
    sent: list[Any] = []

    def take(scope: object, head: bytes, body: bytes) -> bool:
        given.append((head, body))
        return True

    async def send(message: object) -> None:
        sent.append(message)

    more = [(b"traceparent", b"00-1")]
    assert answer_json(scope_of(answer=take), b"{}", more)
    for scope in ({"type": "http"}, scope_of(answer=lambda *_: False)):
        assert not answer_json(scope, b"{}", more)
    await send_whole(send, 200, [(b"content-type", b"application/json"), *more], b"{}")

    [(head, body)] = given
    lines = dict(line.split(b": ") for line in head.split(b"\r\n") if line)
    assert lines == dict(sent[0]["headers"])
    assert lines[b"content-length"] == b"2"
    assert body == sent[1]["body"] == b"{}"
    assert sent[0]["status"] == 200


def test_on_the_wire_both_ways_give_the_same_headers(wire, monkeypatch):
    whole = wire.answers(post(b"/a", b"one", b"connection: close\r\n") + b"one")
    alone = wire.answers(post(b"/a", b"one") + b"one" + get(b"/b", b"connection: close\r\n"))
    monkeypatch.setattr("service.main.protocol.BoundedProtocol._whole_answer", lambda *_: False)
    by_messages = wire.answers(post(b"/a", b"one", b"connection: close\r\n") + b"one")

    (status, headers, body) = whole[0]
    assert (status, body) == (200, by_messages[0][2])
    assert headers == by_messages[0][1]
    assert {"date", "content-type", "content-length", "x-more", "connection"} <= set(headers)
    assert "connection" not in alone[0][1]  # kept
    assert [answer[2]["path"] for answer in alone] == ["/a", "/b"]


def test_an_idle_connection_is_closed_by_one_timer_counted_from_its_last_answer(monkeypatch):
    kept = 0.5

    class Impatient(uvicorn.Config):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named | {"timeout_keep_alive": kept})

    monkeypatch.setattr("tests.service.wire.uvicorn.Config", Impatient)
    with WholeWire() as wire, wire.connect() as connection:
        connection.sendall(get(b"/a"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        wire.answer_s = 2 * kept  # longer than the timer, and not idle
        connection.sendall(get(b"/slow"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        wire.answer_s = 0.02
        clock = asyncio.new_event_loop()
        began = clock.time()
        for _ in range(4):  # the last one after the timer has gone off and looked
            connection.sendall(get(b"/a"))
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            connection.settimeout(kept * 0.6)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(5.0)
        answered = clock.time() - kept * 0.6
        assert connection.recv(1) == b""
        closed = clock.time()
        clock.close()

    assert answered - began > kept
    assert 0.9 * kept < closed - answered < 3 * kept
