import asyncio

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from service.api.bodies import ClientGone, check_headers, read_body
from service.api.tokens import Tokens
from service.api.trace import trace_headers, trace_id
from service.errors import BodyTooLarge, BodyTooSlow, Unauthorized, UnsupportedMediaType


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


async def test_a_body_in_parts_is_put_together():
    receive = receiver(part(b"ab", True), part(b"", True), part(b"c", False))

    assert await read_body(receive, max_bytes=3, timeout_ms=1000) == b"abc"


async def test_a_body_is_counted_while_it_comes_and_not_believed_by_its_header():
    receive = receiver(part(b"ab", True), part(b"cd", True), part(b"never read", False))

    with pytest.raises(BodyTooLarge):
        await read_body(receive, max_bytes=3, timeout_ms=1000)


async def test_a_body_that_stops_coming_is_given_up_and_says_how_much_had_come():
    with pytest.raises(BodyTooSlow) as caught:
        await read_body(receiver(part(b"ab", True)), max_bytes=9, timeout_ms=20)

    assert caught.value.received_bytes == 2


async def test_a_client_that_hangs_up_inside_its_body_is_no_error_of_the_body():
    receive = receiver(part(b"ab", True), {"type": "http.disconnect"})

    with pytest.raises(ClientGone):
        await read_body(receive, max_bytes=9, timeout_ms=1000)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"content-length": "11"}, BodyTooLarge),
        ({"content-length": "9" * 4000}, BodyTooLarge),
        ({"content-encoding": "gzip"}, UnsupportedMediaType),
        ({"content-type": "text/plain"}, UnsupportedMediaType),
        ({"content-type": "application/x-www-form-urlencoded"}, UnsupportedMediaType),
    ],
)
def test_what_the_headers_already_say_is_refused_before_the_body_is_read(headers, error):
    with pytest.raises(error):
        check_headers(Headers(headers), max_bytes=10)


def test_json_with_a_charset_and_no_type_at_all_are_read():
    check_headers(Headers({"content-type": "Application/JSON; charset=utf-8"}), max_bytes=10)
    check_headers(Headers({"content-length": "10"}), max_bytes=10)


def test_only_a_known_token_opens_the_door():
    tokens = Tokens(["first-token-0000", "second-token-000"], open_without=True)

    tokens.require(Headers({"authorization": "Bearer second-token-000"}))
    for shown in ("", "Bearer ", "Bearer second-token-00", "Basic second-token-000", "Bearer ünï"):
        with pytest.raises(Unauthorized):
            tokens.require(Headers(raw=[(b"authorization", shown.encode())]))


def test_a_token_is_compared_as_the_bytes_that_came_on_the_wire():
    tokens = Tokens(["schlüssel-für-alles"], open_without=True)

    tokens.require(Headers(raw=[(b"authorization", "Bearer schlüssel-für-alles".encode())]))
    for shown in ("Bearer schlüssel-für-allen".encode(), "Bearer schlüssel".encode("latin-1")):
        with pytest.raises(Unauthorized):
            tokens.require(Headers(raw=[(b"authorization", shown)]))


def test_without_tokens_an_open_door_is_open_and_a_closed_one_closed():
    Tokens([], open_without=True).require(Headers({}))
    with pytest.raises(Unauthorized):
        Tokens([], open_without=False).require(Headers({"authorization": "Bearer "}))


def test_only_a_well_formed_trace_is_passed_through():
    good = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"

    assert trace_headers(Headers({"traceparent": good})) == [(b"traceparent", good.encode())]
    assert trace_id(Headers({"traceparent": good})) == "a" * 32
    bad_ids = ("0" * 32 + "-" + "b" * 16, "a" * 32 + "-" + "0" * 16, "a" * 31 + "-" + "b" * 16)
    malformed = [f"00-{ids}-01" for ids in bad_ids]
    for bad in (good.upper(), good + "\r\nx: y", "ff" + good[2:], *malformed, ""):
        assert trace_headers(Headers({"traceparent": bad})) == []
