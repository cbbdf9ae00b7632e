"""Reads a request body: bounded in bytes and time, plain JSON only."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from service.api.disconnect import ClientDisconnected
from service.api.raw_headers import RawHeaders
from service.errors import BodyTooLarge, BodyTooSlow, UnsupportedMediaType

_JSON_TYPES = frozenset({b"application/json", b""})


def check_body_headers(headers: RawHeaders, max_bytes: int) -> None:
    """Raise UnsupportedMediaType or BodyTooLarge where the headers already prove it."""
    media_type = headers.get(b"content-type", b"")
    if (
        media_type not in _JSON_TYPES
        and media_type.partition(b";")[0].strip().lower() not in _JSON_TYPES
    ):
        raise UnsupportedMediaType(header="content-type", requirement="is application/json")
    coding = headers.get(b"content-encoding")
    if coding is not None and coding.strip().lower() not in {b"identity", b""}:
        raise UnsupportedMediaType(
            header="content-encoding", requirement="bodies are not compressed"
        )
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > max_bytes:
        raise BodyTooLarge(limit_bytes=max_bytes)


async def read_body(receive: Receive, *, max_bytes: int, timeout_ms: int) -> bytes:
    """The whole body; raises BodyTooLarge, BodyTooSlow or ClientDisconnected."""
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(timeout_ms / 1e3):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > max_bytes:
                    raise BodyTooLarge(limit_bytes=max_bytes)
                chunks.append(chunk)
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise BodyTooSlow(limit_ms=timeout_ms, received_bytes=size) from error
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
