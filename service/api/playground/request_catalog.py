"""Logged requests of the playground, by user. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class RequestCatalog:
    """Requests in the order of the file, empty at first; a request's index is its address."""

    def __init__(self) -> None:
        self._logged: Sequence[Mapping[str, Any]] = ()
        self._indices: dict[str, list[int]] = {}

    def fill(self, logged: Sequence[Mapping[str, Any]]) -> None:
        """Replace the requests of the catalog."""
        indices: dict[str, list[int]] = {}
        for index, line in enumerate(logged):
            indices.setdefault(line["request"]["user_id"], []).append(index)
        self._logged, self._indices = logged, indices

    def __len__(self) -> int:
        return len(self._logged)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self._logged[index]

    def users(self, prefix: str) -> list[tuple[str, int]]:
        """Users whose id starts with the prefix, in file order, with their request counts."""
        return [(user, len(own)) for user, own in self._indices.items() if user.startswith(prefix)]

    def requests_of(self, user_id: str) -> list[int]:
        """Indices of a user's requests."""
        return self._indices.get(user_id, [])
