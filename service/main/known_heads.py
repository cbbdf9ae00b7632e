"""Heads of requests that were read before and need no parsing again.

A trick for the request path: a caller sends the same head on a kept connection again and again, but
for the length of the body. Bytes that the parser has taken once, as one whole message between two
others, it would take for the same again. Parsing them is 17 calls of Python by the parser, and as
many of what it is wrapped in; looking them up is one. Only plain requests are known: POST by
HTTP/1.1, a body of a given length, nothing said of the connection or of what is expected, no more
headers than callers send. Who may have one remembered is not decided here but by whoever learns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.api.header_texts import HEADER_TEXTS, header_texts

LONGEST = 2048  # bytes of a head that is remembered
MOST_HEADERS = 32  # of such a head: each is held four times, as bytes, as texts, in what has them
MOST = 1024  # heads; then all are forgotten. None can make this hold more than 16 MB
_END = b"\r\n\r\n"
_NOT_PLAIN = frozenset(
    {b"transfer-encoding", b"connection", b"proxy-connection", b"upgrade", b"expect"}
)  # the parser reads a word to a proxy as one of the connection
_OF_THE_HEAD = ("method", "path", "raw_path", "query_string", "http_version", "headers")


@dataclass(frozen=True, slots=True)
class Head:
    """What the parser made of a head.

    sent: its bytes.
    scope: the parts of an ASGI scope that follow from them, to be copied.
    length: bytes of the body behind it.
    """

    sent: bytes
    scope: dict[str, Any]
    length: int


def plain_head(data: bytes, scope: Mapping[str, Any]) -> Head | None:
    """The head of a message that was the whole of one read, None if it is not a plain one."""
    headers = scope["headers"]
    if scope["method"] != "POST" or scope["http_version"] != "1.1" or len(headers) > MOST_HEADERS:
        return None
    end = data.find(_END, 0, LONGEST) + len(_END)
    lengths = [value for name, value in headers if name == b"content-length"]
    if end < len(_END) or lengths != [b"%d" % (len(data) - end)]:
        return None
    if not _NOT_PLAIN.isdisjoint(name for name, _ in headers):
        return None
    own = {key: scope[key] for key in _OF_THE_HEAD}
    own[HEADER_TEXTS] = header_texts(scope)
    return Head(data[:end], own, len(data) - end)


class KnownHeads:
    """Heads by their bytes; shared by all connections of a process."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, data: bytes) -> tuple[Head, bytes] | None:
        """Head and body, when these bytes are one whole request whose head is known."""
        end = data.find(_END, 0, LONGEST) + len(_END)
        head = self._known.get(data[:end])
        if head is None or len(data) - end != head.length:
            return None
        return head, data[end:]

    def learn(self, head: Head) -> None:
        """Remember a plain head."""
        if len(self) >= MOST:
            self._known.clear()
        self._known[head.sent] = head
