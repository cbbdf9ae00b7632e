"""Bearer tokens, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from fastapi import Request
from fastapi.security import HTTPBearer

from service.errors import Unauthorized

_SCHEME = "bearer "


class BearerAuth(HTTPBearer):
    """FastAPI dependency that requires one of these tokens; documented in OpenAPI."""

    def __init__(self, tokens: Sequence[str]) -> None:
        super().__init__(scheme_name="token", auto_error=False)
        self._tokens = [token.encode() for token in tokens]

    async def __call__(self, request: Request) -> None:  # type: ignore[override]  # no credentials
        """Raise Unauthorized unless the request has a known token."""
        self.verify(request.headers)

    def verify(self, headers: Mapping[str, str]) -> None:
        """Raise Unauthorized unless the header has a known token; compares with every token."""
        header = headers.get("authorization", "")
        # Header texts are bytes decoded as Latin-1, tokens are UTF-8: compare the bytes sent.
        sent = header[len(_SCHEME) :] if header.lower().startswith(_SCHEME) else ""
        shown = sent.encode("latin-1")
        matches = [hmac.compare_digest(shown, token) for token in self._tokens]
        if not any(matches):
            raise Unauthorized
