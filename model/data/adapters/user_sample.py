"""A seeded sample of whole users that holds at most a number of requests."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator

from model.data.adapters.impression_row import ImpressionRow


class UserSample:
    """Keeps the requests of the users with the smallest hashes, `max_requests` at most.

    Users stay whole, so their histories do. When one user alone exceeds the limit, the first
    requests of that user in the order of the source are kept. Memory: the kept requests.
    """

    def __init__(self, max_requests: int, seed: int) -> None:
        self._max_requests, self._seed = max_requests, seed
        self._requests: dict[str, list[ImpressionRow]] = {}
        self._largest: list[tuple[int, str]] = []  # heap of negative hashes
        self._bound: int | None = None
        self._count = 0
        self.left_out = 0

    def add(self, request: ImpressionRow) -> None:
        """Keep the request, or another user's in place of it."""
        user = request.user_id
        if user not in self._requests:
            rank = self._hash(user)
            if self._bound is not None and rank >= self._bound:
                self.left_out += 1
                return
            self._requests[user] = []
            heapq.heappush(self._largest, (-rank, user))
        self._requests[user].append(request)
        self._count += 1
        while self._count > self._max_requests:
            self._shrink()

    def __iter__(self) -> Iterator[ImpressionRow]:
        """Yield the kept requests, user by user."""
        for requests in self._requests.values():
            yield from requests

    def _shrink(self) -> None:
        if len(self._requests) == 1:
            removed = [next(iter(self._requests.values())).pop()]
        else:
            negative, user = heapq.heappop(self._largest)
            self._bound = -negative
            removed = self._requests.pop(user)
        self._count -= len(removed)
        self.left_out += len(removed)

    def _hash(self, user: str) -> int:
        text = f"{self._seed}/{user}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
