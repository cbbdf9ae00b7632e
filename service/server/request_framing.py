"""Where one HTTP/1.1 request ends and the next begins, by httptools' parser. Does no I/O."""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from service.errors import HeadTooLarge, MalformedHttp, MethodNotAllowed, RequestError

MAX_HEAD_BYTES = 32 * 1024
_BLANK_LINE = b"\r\n\r\n"  # ends every head and every chunked body


class RequestFraming:
    """Parses a stream piece by piece; no piece holds bytes of two requests.

    complete: the request is whole; nothing is parsed before `begin`.
    left: bytes of the body that have not been parsed, 0 where its length is not announced.
    expects_continue: the client waits for a 100 before it sends the body.
    """

    def __init__(self) -> None:
        self._parser = _new_parser(self)
        self.begin()

    def begin(self) -> None:
        """Reset for the head of the next request."""
        self._head = b""  # parsed, not returned
        self._in_head = True
        self._begun = False
        self._chunked = False
        self._tail = b""  # of the last piece, where it did not end in a blank line
        self._headers: list[tuple[bytes, bytes]] = []
        self.complete = self.expects_continue = False
        self.left = 0

    @property
    def in_partial_head(self) -> bool:
        """Whether a head has begun and is not whole."""
        return self._in_head and bool(self._head)

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """The longest prefix that cannot reach into another request, and the rest."""
        if not self._in_head and not self._chunked:
            return data[: self.left], data[self.left :]
        end = (self._tail + data).find(_BLANK_LINE)
        if end < 0:
            self._tail = (self._tail + data)[-3:]
            return data, b""
        size = end + len(_BLANK_LINE) - len(self._tail)
        self._tail = b""
        return data[:size], data[size:]

    def parse(self, piece: bytes) -> bytes:
        """Parse one piece and return the bytes that may be passed on: a head when it is whole.

        Raises MalformedHttp, HeadTooLarge or MethodNotAllowed.
        """
        in_head = self._in_head
        if in_head:
            self._head += piece
            if len(self._head) > MAX_HEAD_BYTES:
                raise HeadTooLarge(limit_bytes=MAX_HEAD_BYTES)
        elif not self._chunked:
            self.left -= len(piece)
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            return self._parse_without_upgrade()
        except HttpParserError as error:  # the parser wraps what a callback raises
            why = error.__context__
            raise (why if isinstance(why, RequestError) else MalformedHttp()) from None
        if not in_head:
            return piece
        if self._in_head:
            return b""
        whole, self._head = self._head, b""
        return whole

    def _parse_without_upgrade(self) -> bytes:
        """Parse the head again without its offer of an upgrade, which a server may ignore.

        The parser ends a request that offers an upgrade at its head. Its body would be read as the
        next request.
        """
        if self._parser.get_method() == b"CONNECT":
            raise MethodNotAllowed(allowed="")
        first = self._head.lstrip(b"\r\n").partition(b"\r\n")[0]
        kept = [b"%s: %s" % line for line in self._headers if line[0].lower() != b"upgrade"]
        self._parser = _new_parser(self)
        self.begin()
        return self.parse(b"\r\n".join([first, *kept, b"", b""]))

    # httptools calls these

    def on_message_begin(self) -> None:
        """Refuse a second request in one piece."""
        if self._begun:
            raise MalformedHttp
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store headers that frame the body; trailers of a chunked body are ignored."""
        if not self._in_head:
            return
        self._headers.append((name, value))
        name = name.lower()
        if name == b"content-length":
            self.left = int(value)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise MalformedHttp("of transfer codings only chunked is read")
            self._chunked = True
        elif name == b"expect":
            self.expects_continue = True

    def on_headers_complete(self) -> None:
        """Mark the head as complete."""
        self._in_head = False

    def on_message_complete(self) -> None:
        """Mark the request as complete."""
        self.complete = True


def _new_parser(target: RequestFraming) -> HttpRequestParser:
    parser = HttpRequestParser(target)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
    return parser
