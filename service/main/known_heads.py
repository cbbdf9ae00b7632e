"""Heads of requests that were read before and need no parsing again.

A trick for the request path: a caller sends the same head on a kept connection again and again, but
for the length of the body. Bytes that the parser has taken once, as one whole message between two
others, it would take for the same again. Parsing them is 17 calls of Python by the parser, and as
many of what it is wrapped in; looking them up is one. Only plain requests are learned: HTTP/1.1, a
body of a given length, nothing said of the connection or of what is expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.api.header_texts import HEADER_TEXTS, header_texts

LONGEST = 2048  # bytes of a head that is remembered
MOST = 1024  # heads; then all are forgotten
_END = b"\r\n\r\n"
_NOT_PLAIN = frozenset({b"transfer-encoding", b"connection", b"upgrade", b"expect"})
_OF_THE_HEAD = ("method", "path", "raw_path", "query_string", "http_version", "headers")


@dataclass(frozen=True, slots=True)
class Head:
    """What the parser made of a head.

    scope: the parts of an ASGI scope that follow from it, to be copied.
    length: bytes of the body behind it.
    """

    scope: dict[str, Any]
    length: int


class KnownHeads:
    """Heads by their bytes; shared by all connections of a process."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def find(self, data: bytes) -> tuple[Head, bytes] | None:
        """Head and body, when these bytes are one whole request whose head is known."""
        end = data.find(_END, 0, LONGEST) + len(_END)
        head = self._known.get(data[:end])
        if head is None or len(data) - end != head.length:
            return None
        return head, data[end:]

    def learn(self, data: bytes, scope: Mapping[str, Any]) -> None:
        """Remember the head of a message that was the whole of one read, if it is a plain one."""
        end = data.find(_END, 0, LONGEST) + len(_END)
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        plain = scope["http_version"] == "1.1" and _NOT_PLAIN.isdisjoint(
            name for name, _ in scope["headers"]
        )
        if not plain or end < len(_END) or lengths != [b"%d" % (len(data) - end)]:
            return
        if len(self._known) >= MOST:
            self._known.clear()
        own = {key: scope[key] for key in _OF_THE_HEAD}
        own[HEADER_TEXTS] = header_texts(scope)
        self._known[data[:end]] = Head(own, len(data) - end)
