import asyncio

import pytest
from starlette.types import Message, Receive

from service.api.body import check_body_headers, read_body
from service.api.disconnect import ClientDisconnected
from service.errors import BodyTooLarge, BodyTooSlow, UnsupportedMediaType


def receiver(*messages: Message) -> Receive:
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return receive


def part(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_read_body_in_parts_joins_them():
    receive = receiver(part(b"ab", True), part(b"", True), part(b"c", False))

    assert await read_body(receive, max_bytes=3, timeout_ms=1000) == b"abc"


async def test_read_body_over_limit_is_rejected_while_read():
    receive = receiver(part(b"ab", True), part(b"cd", True), part(b"never read", False))

    with pytest.raises(BodyTooLarge):
        await read_body(receive, max_bytes=3, timeout_ms=1000)


async def test_read_body_that_stops_times_out():
    with pytest.raises(BodyTooSlow) as caught:
        await read_body(receiver(part(b"ab", True)), max_bytes=9, timeout_ms=20)

    assert caught.value.received_bytes == 2


async def test_read_body_without_client_raises_client_disconnected():
    receive = receiver(part(b"ab", True), {"type": "http.disconnect"})

    with pytest.raises(ClientDisconnected):
        await read_body(receive, max_bytes=9, timeout_ms=1000)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({b"content-length": b"11"}, BodyTooLarge),
        ({b"content-length": b"9" * 4000}, BodyTooLarge),
        ({b"content-encoding": b"gzip"}, UnsupportedMediaType),
        ({b"content-type": b"text/plain"}, UnsupportedMediaType),
        ({b"content-type": b"application/x-www-form-urlencoded"}, UnsupportedMediaType),
    ],
)
def test_check_body_headers_unacceptable_header_is_rejected(headers, error):
    with pytest.raises(error):
        check_body_headers(headers, max_bytes=10)


def test_check_body_headers_json_or_none_passes():
    check_body_headers({b"content-type": b"Application/JSON; charset=utf-8"}, max_bytes=10)
    check_body_headers({b"content-length": b"10"}, max_bytes=10)
