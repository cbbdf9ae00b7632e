"""W3C trace context: passes a well-formed `traceparent` through and adds its id to log lines."""

from __future__ import annotations

import re
from collections.abc import Mapping

# the standard forbids version ff and ids of only zeros
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


def trace_headers(traceparent: str | None) -> list[tuple[bytes, bytes]]:
    """The request's trace context as headers of its response."""
    if traceparent is None or _TRACEPARENT.fullmatch(traceparent) is None:
        return []
    return [(b"traceparent", traceparent.encode())]


def trace_id(headers: Mapping[str, str]) -> str | None:
    """The 32 hex digits that all log lines of one trace share."""
    match = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    return match.group(1) if match else None
