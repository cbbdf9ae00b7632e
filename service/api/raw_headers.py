"""Headers of an ASGI scope as bytes, decoded in one call instead of several per header."""

from __future__ import annotations

from starlette.types import Scope

RawHeaders = dict[bytes, bytes]  # by lower-case name


def decode_header_list(scope: Scope) -> RawHeaders:
    """The request's headers by lower-case name; of equal names the first."""
    return dict(reversed(list(scope["headers"])))
