"""One connection over a real socket: what is read as a request, in which order, when it ends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from model.contract.wire.response import ErrorResponse
from service.main import protocol
from tests.service.wire import BUFFER_BYTES, WAIT_S, Answer, WholeWire, Wire

BODY = b'GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n{"a": 1}'
CHUNKED = b"transfer-encoding: chunked\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n"


@pytest.fixture(params=[Wire, WholeWire], ids=["by messages", "whole"])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    with request.param() as made:
        yield made


def post(path: bytes, body: bytes, more: bytes = b"") -> bytes:
    sized = b"" if CHUNKED in more else b"content-length: %d\r\n" % len(body)
    return b"POST %s HTTP/1.1\r\nhost: x\r\nx-empty:\r\n%s%s\r\n" % (path, more, sized)


def get(path: bytes, more: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\nhost: x\r\n%s\r\n" % (path, more)


LAST = get(b"/last", b"connection: close\r\n")


def code(answer: Answer) -> str:
    return ErrorResponse.model_validate(answer[2]).error.code


def test_a_request_may_come_in_one_write_with_the_body_before_it(wire):
    body = b"x" * 40_000

    got = wire.answers(post(b"/first", body) + body + LAST[:20], LAST[20:])

    assert [(status, answer["path"]) for status, _, answer in got] == [
        (200, "/first"),
        (200, "/last"),
    ]
    assert wire.asked == [("POST", "/first", body), ("GET", "/last", b"")]


def test_a_connection_that_sends_only_empty_lines_after_an_answer_is_closed(wire, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.3)

    got = wire.answers(get(b"/first"), b"\r\n")

    assert [answer["path"] for _, _, answer in got] == ["/first"]


def test_a_body_that_drips_after_its_early_answer_does_not_hold_the_connection(wire, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.3)

    got = wire.answers(post(b"/early", b"x" * 500), b"x", b"x")

    assert [answer["path"] for _, _, answer in got] == ["/early"]


def test_what_is_no_http_behind_a_right_request_does_not_answer_in_its_place(wire):
    first, second = post(b"/first", b"one") + b"one", post(b"/second", b"two") + b"two"

    got = wire.answers(first + second + b"garbage\r\n\r\n" + LAST)

    assert [(status, answer["path"]) for status, _, answer in got] == [
        (200, "/first"),
        (200, "/second"),
    ]
    assert "connection" not in got[0][1]
    assert got[1][1]["connection"] == "close"
    assert wire.asked == [("POST", "/first", b"one"), ("POST", "/second", b"two")]


def test_a_body_that_breaks_off_into_what_is_no_chunk_is_refused_in_its_turn(wire):
    broken = post(b"/broken", b"", CHUNKED) + b"3\r\nabc\r\nthis is no chunk"

    alone = wire.answers(broken)
    behind = wire.answers(post(b"/first", b"one") + b"one" + broken)

    assert [(status, code(got)) for got in alone for status in got[:1]] == [(400, "malformed_http")]
    assert [status for status, _, _ in behind] == [200, 400]
    assert code(behind[1]) == "malformed_http"
    assert [got[-1][1]["connection"] for got in (alone, behind)] == ["close", "close"]
    assert wire.asked == [("POST", "/first", b"one")]


def test_a_body_that_breaks_off_after_its_early_answer_gets_no_second_one(wire):
    head = post(b"/early", b"", CHUNKED)

    got = wire.answers(head + b"3\r\nabc\r\n", b"this is no chunk")

    assert [(status, answer["path"]) for status, _, answer in got] == [(200, "/early")]


def test_a_head_that_is_late_behind_a_running_request_does_not_cost_its_answer(wire, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    wire.answer_s = 0.5

    got = wire.answers(get(b"/first") + LAST[:20])

    assert [(status, answer["path"]) for status, _, answer in got] == [(200, "/first")]
    assert got[0][1]["connection"] == "close"


def test_no_more_than_some_requests_wait_on_one_connection(wire):
    served = 1 + protocol.MAX_PIPELINED

    got = wire.answers(b"".join(get(b"/%d" % i) for i in range(5 * served)))

    assert [answer["path"] for _, _, answer in got] == [f"/{i}" for i in range(served)]
    assert ["connection" in headers for _, headers, _ in got] == [False] * (served - 1) + [True]
    assert len(wire.asked) == served


def test_a_client_that_does_not_wait_for_answers_is_not_read_far_ahead(wire):
    size, count = 300_000, 40
    whole = post(b"/large", b"x" * size) + b"x" * size
    sent = 0

    def push(connection: socket.socket) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            for _ in range(count):
                for at in range(0, len(whole), 1 << 14):
                    sent += connection.send(whole[at : at + (1 << 14)])

    ahead, came = [], b""
    with wire.connect() as connection:
        pusher = threading.Thread(target=push, args=(connection,))
        pusher.start()
        while came.count(b"HTTP/1.1 200") < count and (more := connection.recv(1 << 16)):
            came += more
            ahead.append(sent - came.count(b"HTTP/1.1 200") * len(whole))
        pusher.join(timeout=WAIT_S)

    assert came.count(b"HTTP/1.1 200") == count
    in_sockets = 2 * 2 * BUFFER_BYTES  # two ends; Linux gives twice what it is asked for
    assert max(ahead) < in_sockets + 3 * len(whole)  # one runs, one waits, one is being read


@pytest.mark.parametrize(
    "codings",
    [b"transfer-encoding: gzip, chunked\r\n", b"transfer-encoding: gzip\r\n" + CHUNKED],
)
def test_a_transfer_coding_that_is_not_undone_is_refused_and_nothing_after_it_runs(wire, codings):
    head = b"POST /coded HTTP/1.1\r\nhost: x\r\n" + codings + b"\r\n"

    got = wire.answers(head + b"3\r\nabc\r\n0\r\n\r\n" + get(b"/after"))

    assert [(status, code(answer)) for answer in got for status in answer[:1]] == [
        (400, "malformed_http")
    ]
    assert got[0][1]["connection"] == "close"
    assert wire.asked == []


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("segments", [1, 2])
def test_an_offered_upgrade_is_ignored_and_the_body_stays_a_body(wire, framing, segments):
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    body = chunk if framing == "chunked" else BODY
    head = post(b"/first", BODY, H2C + (CHUNKED if framing == "chunked" else b""))
    writes = [head + body + LAST] if segments == 1 else [head, body + LAST]

    got = wire.answers(*writes)

    assert [(status, answer["path"]) for status, _, answer in got] == [
        (200, "/first"),
        (200, "/last"),
    ]
    assert wire.asked == [("POST", "/first", BODY), ("GET", "/last", b"")]


def test_every_request_of_a_connection_may_offer_an_upgrade(wire):
    raw = b"".join(post(b"/%d" % i, b"%d" % i, H2C) + b"%d" % i for i in range(4))

    got = wire.answers(raw[:-1], raw[-1:] + get(b"/ws", b"upgrade: websocket\r\n" + H2C) + LAST)

    assert [answer["path"] for _, _, answer in got] == ["/0", "/1", "/2", "/3", "/ws", "/last"]
    assert [body for _, _, body in wire.asked] == [b"0", b"1", b"2", b"3", b"", b""]


def test_a_tunnel_is_refused_and_nothing_that_was_meant_for_it_runs(wire):
    head = b"CONNECT other:80 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n" + H2C + b"\r\n"

    got = wire.answers(head + b"abc" + get(b"/inside"))

    assert [(status, code(answer)) for answer in got for status in answer[:1]] == [
        (405, "method_not_allowed")
    ]
    assert got[0][1]["connection"] == "close"
    assert wire.asked == []
