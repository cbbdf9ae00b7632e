"""Responses before the body is read: no byte is misread as another request or another body."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.service.asking import body_of
from tests.service.server.recording_server import Answer, parsed, until_closed
from tests.service.serving import Serving

TOKEN = b"authorization: Bearer a-token-of-20-letters\r\n"
JSON = b"content-type: application/json\r\n"
EXPECT = b"expect: 100-continue\r\n"
SMUGGLED = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
MAX_BODY_BYTES = 4096
EARLY = {
    401: (b"", JSON, 100),
    415: (TOKEN, b"content-type: text/plain\r\n", 100),
    413: (TOKEN, JSON, MAX_BODY_BYTES + 1),
}


@pytest.fixture(scope="module")
def server(artifact_folder) -> Iterator[Serving]:
    settings = {
        "api_tokens": json.dumps(["a-token-of-20-letters"]),
        "max_body_bytes": MAX_BODY_BYTES,
        "request_budget_ms": 900,
        "max_inflight": 1,
        "max_waiting": 0,
    }
    with Serving(artifact_folder, **settings) as serving:
        yield serving.ready()


def connect(server: Serving) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5.0)


def head(*lines: bytes, length: int) -> bytes:
    return b"POST /rerank HTTP/1.1\r\nhost: x\r\n%scontent-length: %d\r\n\r\n" % (
        b"".join(lines),
        length,
    )


def first_response(connection: socket.socket) -> Answer:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1 << 16)
    size = int(received.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(received.partition(b"\r\n\r\n")[2]) < size:
        received += connection.recv(1 << 16)
    return next(iter(parsed(received)))


@pytest.mark.parametrize("status", EARLY)
def test_early_response_to_expect_closes_the_connection(server, status):
    token, media_type, length = EARLY[status]
    with connect(server) as connection:
        connection.sendall(head(token, media_type, EXPECT, length=length))
        response = first_response(connection)
        connection.sendall(SMUGGLED)  # a client may go on without the body
        rest = until_closed(connection)

    assert (response[0], response[1]["connection"]) == (status, "close")
    assert rest == b""


@pytest.mark.parametrize("status", [401, 415])
def test_early_response_discards_the_body_that_follows(server, status):
    token, media_type, _ = EARLY[status]
    with connect(server) as connection:
        connection.sendall(head(token, media_type, length=len(SMUGGLED)))
        response = first_response(connection)
        connection.sendall(SMUGGLED)
        connection.sendall(b"GET /info HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        rest = list(parsed(until_closed(connection)))

    assert response[0] == status
    assert "connection" not in response[1]
    assert [(got[0], "limits" in got[2]) for got in rest] == [(200, True)]


def test_early_response_to_a_whole_body_keeps_the_connection(server):
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(head(EXPECT, JSON, length=2) + b"{}")
            response = first_response(connection)
            assert response[0] == 401
            assert "connection" not in response[1]


def test_overload_response_to_expect_closes_the_connection(server, artifact):
    raw = json.dumps(body_of(artifact)).encode()
    with connect(server) as first, connect(server) as second:
        first.sendall(head(TOKEN, JSON, length=len(raw)) + raw[:-1])
        while server.metric("rerank_waiting_requests") == 0:
            pass  # it is admitted once its head is read
        second.sendall(head(TOKEN, JSON, EXPECT, length=len(raw)))
        refused = first_response(second)
        first.sendall(raw[-1:])
        served = first_response(first)

    assert (refused[0], refused[1]["connection"]) == (429, "close")
    assert served[0] == 200


def test_not_ready_response_to_expect_closes_the_connection(artifact_folder):
    with Serving(artifact_folder) as serving, connect(serving) as connection:  # nothing loaded yet
        connection.sendall(head(JSON, EXPECT, length=100))
        response = first_response(connection)

    assert (response[0], response[1]["connection"]) == (503, "close")


def test_expected_continue_is_sent_before_a_body_is_read(server, artifact):
    raw = json.dumps(body_of(artifact)).encode()
    with connect(server) as connection:
        connection.sendall(head(TOKEN, JSON, EXPECT, length=len(raw)))
        assert connection.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(raw)
        response = first_response(connection)

    assert response[0] == 200
    assert "connection" not in response[1]


def test_endless_body_after_early_response_is_cut_off(server):
    piece = b"10000\r\n" + b"x" * (1 << 16) + b"\r\n"
    with connect(server) as connection:
        connection.sendall(
            b"POST /rerank HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        assert first_response(connection)[0] == 401
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            connection.sendall(piece * 1024)  # more than the two sockets hold and the limit
