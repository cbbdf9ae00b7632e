"""Where requests end, whatever the pieces in which their bytes arrive."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import HeadTooLarge, MalformedHttp, MethodNotAllowed, RequestError
from service.server.request_framing import MAX_HEAD_BYTES, RequestFraming

bodies = st.binary(max_size=40) | st.sampled_from(
    [b"\r\n\r\n", b"GET /x HTTP/1.1\r\n\r\n", b"0\r\n\r\n"]
)


def sized(body: bytes) -> bytes:
    return b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def chunked(chunks: list[bytes], trailer: bytes) -> bytes:
    lines = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    head = b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + lines + b"0\r\n" + trailer + b"\r\n"


requests = st.one_of(
    st.builds(sized, bodies),
    st.builds(chunked, st.lists(bodies, max_size=3), st.sampled_from([b"", b"x: y\r\n"])),
    st.just(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
    st.just(b"\r\nGET / HTTP/1.1\r\n\r\n"),
)


def frame(reads: list[bytes]) -> list[bytes]:
    """Bytes of each request, by the framing alone."""
    framing, framed, current = RequestFraming(), [], b""
    for read in reads:
        held = read
        while held:
            piece, held = framing.split(held)
            current += framing.parse(piece)
            if framing.complete:
                framed.append(current)
                current = b""
                framing.begin()
    assert current == b""
    return framed


@settings(max_examples=400, deadline=None)
@given(sent=st.lists(requests, min_size=1, max_size=4), cuts=st.lists(st.integers(0, 400)))
def test_request_framing_random_reads_find_every_request(sent, cuts):
    stream = b"".join(sent)
    edges = [0, *sorted({cut for cut in cuts if cut < len(stream)}), len(stream)]
    reads = [stream[a:b] for a, b in pairwise(edges)]

    assert frame(reads) == sent


@settings(max_examples=200, deadline=None)
@given(body=bodies, cut=st.integers(1, 200))
def test_request_framing_upgrade_offer_is_removed_and_body_kept(body, cut):
    offer = b"connection: Upgrade\r\nUpgrade: h2c\r\n"
    stream = sized(body).replace(b"host: x\r\n", b"host: x\r\n" + offer) + sized(b"next")

    first, second = frame([stream[:cut], stream[cut:]])

    assert first == sized(body).replace(b"host: x\r\n", b"host: x\r\nconnection: Upgrade\r\n")
    assert second == sized(b"next")


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"GET / HTTP/1.1\nhost: x\n\n", MalformedHttp),
        (b"GET / HTTP/1.1\r\nhost: x\n\r\n", MalformedHttp),
        (b"GET / HTTP/1.1\r\nx: a\r\n b\r\n\r\n", MalformedHttp),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", MalformedHttp),
        (b"POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", MalformedHttp),
        (sized(b"").replace(b"content", b"transfer-encoding: chunked\r\ncontent"), MalformedHttp),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n", MalformedHttp),
        (chunked([b"abc"], b"").replace(b"3\r\n", b"3\n"), MalformedHttp),
        (b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n", MethodNotAllowed),
        (b"GET /" + b"y" * MAX_HEAD_BYTES, HeadTooLarge),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * MAX_HEAD_BYTES, HeadTooLarge),
    ],
)
def test_request_framing_ambiguous_or_long_request_is_rejected(stream, error):
    for size in (1, 7, len(stream)):
        reads = [stream[at : at + size] for at in range(0, len(stream), size)]
        with pytest.raises(RequestError) as caught:
            frame(reads)
        assert type(caught.value) is error
