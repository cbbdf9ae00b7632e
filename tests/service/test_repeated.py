"""Heads that come again: what goes past the parser, and that nothing else does."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from service.api.header_texts import HEADER_TEXTS, header_texts
from service.api.whole import WHOLE, send_whole
from service.main import repeated
from service.main.known_heads import LONGEST, MOST, MOST_HEADERS, KnownHeads, plain_head
from tests.service.test_protocol import CHUNKED, LAST, post
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
            own = {"headers": list(scope["headers"]), "extensions": dict(scope["extensions"])}
            self.scopes.append({**scope, **own})
        await super()._app(scope, receive, send)

    async def _answer(self, scope: Scope, send: Send, answer: bytes) -> None:
        if scope["path"] == "/by-messages":  # as what is refused, and all but POST /rerank
            await send_whole(send, 200, [], answer)
        else:
            await super()._answer(scope, send, answer)


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
    for scope in (parsed, again):  # who answers the first one teaches
        assert scope["extensions"].pop(WHOLE).keys() == {"body", "answer"}
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
    [
        CHUNKED,
        b"connection: keep-alive\r\n",
        b"Proxy-Connection: keep-alive\r\n",
        b"expect: 100-continue\r\n",
        b"upgrade: h2c\r\n",
        b"x: 1\r\n" * (MOST_HEADERS - 2),
    ],
)
def test_a_head_that_says_more_than_a_plain_one_is_never_learned(wire, more):
    sent = BODY if CHUNKED not in more else b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    said, plain = post(b"/a", BODY, more) + sent, post(b"/a", BODY) + BODY

    wire.answers(said, said, plain, plain, LAST)

    assert [body for _, _, body in wire.asked] == [BODY] * 4 + [b""]
    assert wire.known == [False, False, False, True, False]


@pytest.mark.parametrize("name", [b"connection", b"Proxy-Connection"])
def test_a_connection_that_is_to_close_closes_however_often_it_was_asked_so(wire, name):
    closing = post(b"/a", BODY, name + b": close\r\n") + BODY

    for _ in range(3):
        (answer,) = wire.answers(closing)
        assert answer[1]["connection"] == "close"


ODD = {  # no POST, no path, or not of our time
    "a tunnel": (b"CONNECT x:80 HTTP/1.1", 405),
    "a tunnel to a path": (b"CONNECT /a HTTP/1.1", 405),
    "the server itself": (b"OPTIONS * HTTP/1.1", 200),
    "no path": (b"POST http://x HTTP/1.1", 400),
    "no such path": (b"POST x:80 HTTP/1.1", 400),
    "a whole address": (b"POST http://x/a HTTP/1.1", 200),
    "another method": (b"PUT /a HTTP/1.1", 200),
    "an old version": (b"POST /a HTTP/1.0", 200),
    "no version": (b"POST /a", 200),
}


@pytest.mark.parametrize(("line", "status"), ODD.values(), ids=ODD)
def test_no_request_line_breaks_a_connection_that_learns(wire, caplog, line, status):
    odd = line + b"\r\nhost: x\r\ncontent-length: 0\r\n\r\n"

    for _ in range(2):
        (got, *_) = wire.answers(odd, LAST)
        assert got[0] == status

    assert [record.message for record in caplog.records] == []
    assert any(wire.known) is (line == b"POST http://x/a HTTP/1.1")


def test_a_head_request_is_answered_without_a_body_each_time(wire):
    head = b"HEAD /by-messages HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    with wire.connect() as connection:
        connection.sendall(head)
        first = connection.recv(4096)
        connection.sendall(head)
        assert connection.recv(4096) == first
    assert first.endswith(b"\r\n\r\n")
    assert wire.known == [False, False]


def test_only_a_head_that_got_its_answer_in_one_piece_is_learned(wire):
    refused = post(b"/by-messages", BODY) + BODY

    wire.answers(refused, refused, LAST)

    assert wire.known == [False, False, False]


def test_neither_long_heads_nor_more_than_some_are_kept():
    heads = KnownHeads()
    long = b"POST /" + b"a" * LONGEST + b" HTTP/1.1\r\n\r\n" + BODY
    assert plain_head(long, {**_SCOPE, "headers": [(b"content-length", b"8")]}) is None

    made = [_large(n) for n in range(MOST + 1)]
    tracemalloc.start()
    try:
        for whole, names in made:
            _learn(heads, whole, names)
            if len(heads) == MOST:
                held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert [heads.find(one) is not None for one, _ in made] == [False] * MOST + [True]
    assert held <= MOST_HELD_BYTES


MOST_HELD_BYTES = 16e6  # of MOST heads, each as long and of as many headers as one may be: 14.5e6
_SCOPE = {
    "method": "POST",
    "path": "/a",
    "raw_path": b"/a",
    "query_string": b"",
    "http_version": "1.1",
}


def _large(n: int) -> tuple[bytes, list[bytes]]:
    """A request with the longest head and the most headers that are remembered."""
    names = [b"x-%02d" % i for i in range(MOST_HEADERS - 1)]
    lines = [b"%s: %s%04d" % (name, b"v" * 52, n) for name in names]
    head = b"\r\n".join([b"POST /a HTTP/1.1", *lines, b"content-length: 8", b"", b""])
    assert LONGEST - 70 < len(head) <= LONGEST
    return head + BODY, names


def _learn(heads: KnownHeads, whole: bytes, names: list[bytes]) -> None:
    values = whole.split(b"\r\n")[1 : len(names) + 1]
    headers = [(bytes(bytearray(line[:4])), line[6:]) for line in values]  # each a name of its own
    head = plain_head(whole, {**_SCOPE, "headers": [*headers, (b"content-length", b"8")]})
    assert head is not None
    heads.learn(head)
