"""Who may call: bearer tokens, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence

from service.errors import Unauthorized

_SCHEME = "bearer "


class Tokens:
    """The tokens of one door. Without any, an open door is open and a closed one stays closed."""

    def __init__(self, tokens: Sequence[str], *, open_without: bool) -> None:
        self._tokens = [token.encode() for token in tokens]
        self._open = open_without and not tokens

    def require(self, headers: Mapping[str, str]) -> None:
        """Raise Unauthorized unless a known token is shown; compares with every token."""
        if self._open:
            return
        shown = headers.get("authorization", "")
        # header texts are bytes read as Latin-1; tokens are UTF-8, so compare what was sent
        own = shown[len(_SCHEME) :] if shown.lower().startswith(_SCHEME) else ""
        given = own.encode("latin-1")
        known = [hmac.compare_digest(given, token) for token in self._tokens]
        if not any(known):
            raise Unauthorized
