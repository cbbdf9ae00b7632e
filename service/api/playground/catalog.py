"""Logged requests that the playground offers, by user. Holds them; knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Catalog:
    """Requests in the order of the file, empty at first; a request's place is its address."""

    def __init__(self) -> None:
        self._logged: Sequence[Mapping[str, Any]] = ()
        self._of: dict[str, list[int]] = {}

    def fill(self, logged: Sequence[Mapping[str, Any]]) -> None:
        """Offer these requests from now on."""
        of: dict[str, list[int]] = {}
        for at, line in enumerate(logged):
            of.setdefault(line["request"]["user_id"], []).append(at)
        self._logged, self._of = logged, of

    def __len__(self) -> int:
        return len(self._logged)

    def __getitem__(self, at: int) -> Mapping[str, Any]:
        return self._logged[at]

    def users(self, prefix: str) -> list[tuple[str, int]]:
        """Users whose id begins so, in the file's order, with how many requests each has."""
        return [(user, len(at)) for user, at in self._of.items() if user.startswith(prefix)]

    def requests_of(self, user_id: str) -> list[int]:
        """Places of a user's requests."""
        return self._of.get(user_id, [])
