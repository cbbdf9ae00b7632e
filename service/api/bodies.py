"""Reading a request body: bounded in bytes and in time, plain JSON only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive

from service.api.interrupt import Interruptible
from service.errors import BodyTooLarge, BodyTooSlow, UnsupportedMediaType

_JSON_TYPES = frozenset({"application/json", ""})


class ClientGone(Exception):
    """The client hung up; nobody is left to answer."""


def check_headers(headers: Mapping[str, str], max_bytes: int) -> None:
    """Refuse by the headers what need not be read."""
    given = headers.get("content-type", "")
    if given not in _JSON_TYPES and given.partition(";")[0].strip().lower() not in _JSON_TYPES:
        raise UnsupportedMediaType(header="content-type", requirement="is application/json")
    coding = headers.get("content-encoding")
    if coding is not None and coding.strip().lower() not in {"identity", ""}:
        raise UnsupportedMediaType(
            header="content-encoding", requirement="bodies are not compressed"
        )
    length = headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > max_bytes:
        raise BodyTooLarge(limit_bytes=max_bytes)


async def read_body(receive: Receive, *, max_bytes: int, timeout_ms: int) -> bytes:
    """The whole body; raises BodyTooLarge, BodyTooSlow or ClientGone."""
    chunks: list[bytes] = []
    size = 0
    with Interruptible() as reading:
        timer = asyncio.get_running_loop().call_later(
            timeout_ms / 1e3,
            lambda: reading.end(BodyTooSlow(limit_ms=timeout_ms, received_bytes=size)),
        )
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > max_bytes:
                    raise BodyTooLarge(limit_bytes=max_bytes)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        finally:
            timer.cancel()
