"""HTTP client of the load test: one body per call over kept connections, at low CPU cost.

The head is the same for all requests and built once. Needs gevent sockets (`sender.py`).
"""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

from gevent import socket, ssl
from geventhttpclient._parser import HTTPParseError, HTTPResponseParser

_BLOCK = 65_536
_NOT_DEGRADED = (
    b'"degraded":[]'  # as the service writes it; then the rest of the answer is not parsed
)


class RequestFailed(Exception):
    """The answer has no list; `reason` is from a small set, for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _StaleConnection(Exception):
    """The server closed a kept connection before it answered."""


class RerankClient:
    """Posts bodies to one address; opens as many connections as there are concurrent requests."""

    def __init__(self, url: str, *, timeout_s: float, token: str | None = None) -> None:
        where = urlsplit(url)
        if where.scheme not in {"http", "https"} or not where.hostname:
            raise ValueError(f"{url!r} is not an address of the form http://host:port")
        self._timeout_s = timeout_s
        self._address = where.hostname, where.port or (443 if where.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if where.scheme == "https" else None
        self._idle: list[socket.socket] = []  # last in, first out
        lines = [
            f"POST {where.path.rstrip('/')}/rerank HTTP/1.1",
            f"host: {where.netloc.rpartition('@')[2]}",
            "content-type: application/json",
            *([f"authorization: Bearer {token}"] if token else []),
            "content-length: ",
        ]
        self._head = "\r\n".join(lines).encode()

    def post_body(self, body: bytes) -> tuple[int, list[str]]:
        """Length of the answer and its degradations; raises RequestFailed."""
        raw = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        until = time.monotonic() + self._timeout_s
        try:
            status, answer = self._exchange(raw, until)
        except TimeoutError as error:
            raise RequestFailed("timeout") from error
        except OSError as error:
            raise RequestFailed(f"connection: {type(error).__name__}") from error
        except HTTPParseError as error:
            raise RequestFailed("no HTTP answer") from error
        return len(answer), _degraded(status, answer)

    def close(self) -> None:
        """Close kept connections; no request may follow."""
        while self._idle:
            self._idle.pop().close()

    def _exchange(self, raw: bytes, until: float) -> tuple[int, bytes]:
        """Try each kept connection that turns out closed, and then a new one."""
        while True:
            kept = bool(self._idle)
            sock = self._idle.pop() if kept else self._connect(until)
            whole = False
            try:
                answer = _Response(sock, raw, until)
                whole = answer.keep_alive
                return answer.status, bytes(answer.body)
            except _StaleConnection as error:
                if not kept:
                    raise ConnectionResetError("closed without an answer") from error
            finally:
                if whole:
                    self._idle.append(sock)
                else:
                    sock.close()

    def _connect(self, until: float) -> socket.socket:
        sock = socket.create_connection(self._address, timeout=_left(until))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return sock
        return self._tls.wrap_socket(sock, server_hostname=self._address[0])


class _Response(HTTPResponseParser):
    """Sends a request and reads its answer to the end."""

    def __init__(self, sock: socket.socket, raw: bytes, until: float) -> None:
        super().__init__()
        self.body = bytearray()
        self._whole = self._begun = False
        try:
            sock.settimeout(_left(until))
            sock.sendall(raw)
            while not self._whole:
                sock.settimeout(_left(until))
                self._read(sock.recv(_BLOCK))
        except (ConnectionResetError, BrokenPipeError) as error:
            if self._begun:
                raise
            raise _StaleConnection from error

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.get_code()

    @property
    def keep_alive(self) -> bool:
        """Whether the connection takes another request."""
        return bool(self.should_keep_alive())

    def _read(self, data: bytes) -> None:
        if not data and not self._begun:
            raise _StaleConnection
        self._begun = True
        self.feed(data)
        if not data and not self._whole:
            raise ConnectionResetError("closed in the middle of an answer")

    def _on_body(self, data: bytearray) -> None:
        self.body += data

    def _on_message_complete(self) -> None:
        self._whole = True

    def _ignored(self, *_: object) -> None:
        """Parser callback for headers, which the load test does not read."""

    _on_message_begin = _on_status = _on_header_field = _on_header_value = _ignored
    _on_headers_complete = _ignored


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _degraded(status: int, answer: bytes) -> list[str]:
    """Degradations of an answer; raises RequestFailed for one without a list."""
    if status == 200 and _NOT_DEGRADED in answer:
        return []
    try:
        read = json.loads(answer)
        if status == 200:
            return [str(reason) for reason in read["degraded"]]
        code = str(read["error"]["code"])
    except (ValueError, KeyError, TypeError) as error:
        raise RequestFailed("no list" if status == 200 else f"HTTP {status}") from error
    raise RequestFailed(f"HTTP {status} {code}")
