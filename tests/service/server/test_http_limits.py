"""One connection over a real socket: what is read as a request, in which order, when it ends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from model.contract.wire.response import ErrorResponse
from service.server import http_limits
from tests.service.server.recording_server import (
    BUFFER_BYTES,
    WAIT_S,
    Answer,
    RecordingServer,
)

BODY = b'GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n{"a": 1}'
CHUNKED = b"transfer-encoding: chunked\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n"


@pytest.fixture
def wire() -> Iterator[RecordingServer]:
    with RecordingServer() as server:
        yield server


def post(path: bytes, body: bytes, more: bytes = b"") -> bytes:
    sized = b"" if CHUNKED in more else b"content-length: %d\r\n" % len(body)
    return b"POST %s HTTP/1.1\r\nhost: x\r\nx-empty:\r\n%s%s\r\n" % (path, more, sized)


def get(path: bytes, more: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\nhost: x\r\n%s\r\n" % (path, more)


LAST = get(b"/last", b"connection: close\r\n")


def error_code(answer: Answer) -> str:
    return ErrorResponse.model_validate(answer[2]).error.code


def test_request_head_behind_body_in_one_write_is_served(wire):
    body = b"x" * 40_000

    got = wire.answers(post(b"/first", body) + body + LAST[:20], LAST[20:])

    assert [(status, answer["path"]) for status, _, answer in got] == [
        (200, "/first"),
        (200, "/last"),
    ]
    assert wire.asked == [("POST", "/first", body), ("GET", "/last", b"")]


def test_connection_with_empty_lines_only_is_closed(wire, monkeypatch):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_S", 0.3)

    got = wire.answers(get(b"/first"), b"\r\n")

    assert [answer["path"] for _, _, answer in got] == ["/first"]


def test_connection_dripping_body_after_response_is_closed(wire, monkeypatch):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_S", 0.3)

    got = wire.answers(post(b"/early", b"x" * 500), b"x", b"x")

    assert [answer["path"] for _, _, answer in got] == ["/early"]


def test_garbage_behind_requests_is_answered_after_them(wire):
    first, second = post(b"/first", b"one") + b"one", post(b"/second", b"two") + b"two"

    got = wire.answers(first + second + b"garbage\r\n\r\n" + LAST)

    assert [status for status, _, _ in got] == [200, 200, 400]
    assert [answer["path"] for _, _, answer in got[:2]] == ["/first", "/second"]
    assert error_code(got[2]) == "malformed_http"
    assert "connection" not in got[1][1]
    assert got[2][1]["connection"] == "close"
    assert wire.asked == [("POST", "/first", b"one"), ("POST", "/second", b"two")]


def test_malformed_chunk_is_answered_after_earlier_requests(wire):
    broken = post(b"/broken", b"", CHUNKED) + b"3\r\nabc\r\nthis is no chunk"

    alone = wire.answers(broken)
    behind = wire.answers(post(b"/first", b"one") + b"one" + broken)

    assert [(status, error_code(got)) for got in alone for status in got[:1]] == [
        (400, "malformed_http")
    ]
    assert [status for status, _, _ in behind] == [200, 400]
    assert error_code(behind[1]) == "malformed_http"
    assert [got[-1][1]["connection"] for got in (alone, behind)] == ["close", "close"]
    assert wire.asked == [("POST", "/first", b"one")]


def test_malformed_chunk_after_early_response_gets_none(wire):
    head = post(b"/early", b"", CHUNKED)

    got = wire.answers(head + b"3\r\nabc\r\n", b"this is no chunk")

    assert [(status, answer["path"]) for status, _, answer in got] == [(200, "/early")]


def test_partial_head_behind_running_request_keeps_its_response(wire, monkeypatch):
    monkeypatch.setattr(http_limits, "HEAD_TIMEOUT_S", 0.1)
    wire.answer_s = 0.5

    got = wire.answers(get(b"/first") + LAST[:20])

    assert [(status, answer["path"]) for status, _, answer in got] == [(200, "/first")]


def test_pipelined_requests_are_answered_one_by_one(wire):
    wire.answer_s = 0.001
    count = 45

    got = wire.answers(b"".join(get(b"/%d" % i) for i in range(count)) + LAST)

    assert [answer["path"] for _, _, answer in got] == [*(f"/{i}" for i in range(count)), "/last"]


def test_pipelining_client_is_not_read_far_ahead(wire):
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
def test_transfer_coding_other_than_chunked_is_400(wire, codings):
    head = b"POST /coded HTTP/1.1\r\nhost: x\r\n" + codings + b"\r\n"

    got = wire.answers(head + b"3\r\nabc\r\n0\r\n\r\n" + get(b"/after"))

    assert [(status, error_code(answer)) for answer in got for status in answer[:1]] == [
        (400, "malformed_http")
    ]
    assert got[0][1]["connection"] == "close"
    assert wire.asked == []


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("segments", [1, 2])
def test_upgrade_offer_is_ignored_and_body_stays_body(wire, framing, segments):
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


def test_upgrade_offer_in_every_request_is_ignored(wire):
    raw = b"".join(post(b"/%d" % i, b"%d" % i, H2C) + b"%d" % i for i in range(4))

    got = wire.answers(raw[:-1], raw[-1:] + get(b"/ws", b"upgrade: websocket\r\n" + H2C) + LAST)

    assert [answer["path"] for _, _, answer in got] == ["/0", "/1", "/2", "/3", "/ws", "/last"]
    assert [body for _, _, body in wire.asked] == [b"0", b"1", b"2", b"3", b"", b""]


def test_connect_request_is_405_and_closes(wire):
    head = b"CONNECT other:80 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n" + H2C + b"\r\n"

    got = wire.answers(head + b"abc" + get(b"/inside"))

    assert [(status, error_code(answer)) for answer in got for status in answer[:1]] == [
        (405, "method_not_allowed")
    ]
    assert got[0][1]["connection"] == "close"
    assert wire.asked == []
