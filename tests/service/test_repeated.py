"""Heads that come again: what goes past the parser, and that nothing else does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from service.api.header_texts import HEADER_TEXTS, header_texts
from service.main import repeated
from service.main.known_heads import LONGEST, MOST, KnownHeads
from tests.service.test_protocol import CHUNKED, LAST, get, post
from tests.service.wire import WholeWire

BODY = b'{"a": 1}'


class Telling(WholeWire):
    """Tells of each request whether the parser was asked about it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[bool] = []
        self.scopes: list[Scope] = []

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/turn":
            self.known.append(HEADER_TEXTS in scope)
            self.scopes.append({**scope, "headers": list(scope["headers"])})
        await super()._app(scope, receive, send)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telling]:
    monkeypatch.setattr(repeated, "_KNOWN", KnownHeads())
    with Telling() as made:
        yield made


def test_a_head_that_comes_again_is_told_as_the_parser_told_it(wire):
    first, second = post(b"/a%20b?x=1", BODY) + BODY, post(b"/a%20b?x=1", BODY) + BODY[::-1]

    got = wire.answers(first, second, first, LAST)

    assert [answer["body"] for _, _, answer in got[:3]] == [
        BODY.decode(),
        BODY[::-1].decode(),
        BODY.decode(),
    ]
    assert wire.known == [False, True, True, False]  # GET has no length of a body
    parsed, again = wire.scopes[:2]
    texts = again.pop(HEADER_TEXTS)
    assert again == parsed
    assert texts == header_texts(parsed) == {"host": "x", "x-empty": "", "content-length": "8"}


def test_it_is_known_on_another_connection_as_its_very_first_request_too(wire):
    request = post(b"/a", BODY) + BODY

    wire.answers(request, LAST)
    wire.answers(request, LAST)

    assert wire.known == [False, False, True, False]


def test_a_body_that_reads_like_a_known_request_stays_a_body(wire):
    known = post(b"/known", BODY) + BODY
    around = post(b"/around", known)

    wire.answers(known, around, known, LAST)

    assert [(path, body) for _, path, body in wire.asked] == [
        ("/known", BODY),
        ("/around", known),
        ("/last", b""),
    ]


def test_a_known_request_behind_one_that_still_runs_waits_for_its_turn(wire):
    known = post(b"/known", BODY) + BODY

    wire.answers(known, LAST)
    wire.asked.clear()
    got = wire.answers(post(b"/first", BODY) + BODY + known + LAST)

    assert [answer["path"] for _, _, answer in got] == ["/first", "/known", "/last"]


@pytest.mark.parametrize("more", [b"", b"GET /more HTTP/1.1\r\nhost: x\r\n\r\n"])
def test_a_known_head_with_less_or_more_than_its_body_is_the_parsers(wire, more):
    known = post(b"/known", BODY) + BODY

    writes = [known, known + more, LAST] if more else [known, known[:-3], known[-3:], LAST]
    wire.answers(*writes)

    assert wire.asked[:2] == [("POST", "/known", BODY)] * 2
    assert wire.known[1] is False
    assert wire.asked[2:] == [("GET", "/more", b"")] * bool(more) + [("GET", "/last", b"")]


@pytest.mark.parametrize(
    "more",
    [CHUNKED, b"connection: keep-alive\r\n", b"expect: 100-continue\r\n", b"upgrade: h2c\r\n"],
)
def test_a_head_that_says_more_than_a_plain_one_is_never_learned(more):
    heads, whole = KnownHeads(), post(b"/a", BODY, more) + BODY
    name, _, value = more.strip().partition(b": ")
    scope = {
        "http_version": "1.1",
        "headers": [(b"content-length", b"%d" % len(BODY)), (name, value)],
    }

    heads.learn(whole, scope | _REST)
    assert heads.find(whole) is None

    scope["headers"] = scope["headers"][:1]
    heads.learn(whole, scope | _REST)
    assert heads.find(whole) is not None
    heads.learn(get(b"/a"), scope | {"http_version": "1.0"} | _REST)
    assert heads.find(get(b"/a")) is None


def test_neither_long_heads_nor_more_than_some_are_kept():
    heads = KnownHeads()
    scope = {"http_version": "1.1", "headers": [(b"content-length", b"8")], **_REST}
    long = b"POST /" + b"a" * LONGEST + b" HTTP/1.1\r\n\r\n" + BODY

    heads.learn(long, scope)
    assert heads.find(long) is None

    made = [b"POST /%d HTTP/1.1\r\n\r\n" % n + BODY for n in range(MOST + 1)]
    for one in made:
        heads.learn(one, scope)
    assert [heads.find(one) is not None for one in made] == [False] * MOST + [True]


_REST = {"method": "POST", "path": "/a", "raw_path": b"/a", "query_string": b""}
