"""User features from Redis: one GET a request, within the caller's time, without a retry.

Knows neither HTTP nor the use case; satisfies `UserStore` of the rerank room by its shape.
"""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn, Self, cast

from redis.exceptions import TimeoutError as RedisTimeoutError

from model.contract.errors import BlobError
from model.contract.store_layout import UserRecord, unpack_user, user_key
from service.errors import FeaturesUnavailable, StoreFault
from service.features.connection import STORE_ERRORS, Client, open_client

STORE = "redis"
_MEND_TIMEOUT_S = 2.0


class RedisUserStore:
    """Reads one user's blob of one schema.

    A request's time may be too short to open a connection (TLS, a far host). So a fetch that failed
    starts one mending PING in the background, with more time, whose connection the pool keeps for
    the next request. There is at most one at a time.
    """

    def __init__(self, client: Client, *, prefix: str, schema_hash: str) -> None:
        self._client, self._prefix, self._schema_hash = client, prefix, schema_hash
        self._mending: asyncio.Task[None] | None = None

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        prefix: str,
        schema_hash: str,
        connections: int = 16,
        cluster: bool = False,
    ) -> Self:
        """A store with its own bounded pool; connects when first used."""
        client = open_client(url, connections=connections, cluster=cluster)
        return cls(client, prefix=prefix, schema_hash=schema_hash)

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        """One user, None for one never seen; raises FeaturesUnavailable within `timeout_s`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                blob = await self._client.get(user_key(self._prefix, user_id))
        except STORE_ERRORS as error:
            self._mend()
            _raise(_fault(error), began, timeout_s, error)
        if blob is None:
            return None
        try:
            return unpack_user(cast(bytes, blob), self._schema_hash)  # replies are not decoded
        except BlobError as error:
            _raise("unreadable", began, timeout_s, error)

    async def ping(self, *, timeout_s: float) -> None:
        """Return when Redis answers within `timeout_s`, else raise FeaturesUnavailable."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.ping()
        except STORE_ERRORS as error:
            _raise(_fault(error), began, timeout_s, error)

    async def close(self) -> None:
        """Close the connections; no call follows."""
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait([self._mending])
        await self._client.aclose()

    def _mend(self) -> None:
        """Open a connection for the next request, beside the one that just failed."""
        if self._mending is None or self._mending.done():
            self._mending = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        try:
            await self.ping(timeout_s=_MEND_TIMEOUT_S)
        except FeaturesUnavailable:
            return  # still down: the next failing request starts the next attempt


def _fault(error: Exception) -> StoreFault:
    return "timeout" if isinstance(error, TimeoutError | RedisTimeoutError) else "down"


def _raise(fault: StoreFault, began: float, timeout_s: float, error: Exception) -> NoReturn:
    waited_ms = (time.monotonic() - began) * 1e3
    raise FeaturesUnavailable(
        store=STORE, fault=fault, waited_ms=waited_ms, budget_ms=timeout_s * 1e3
    ) from error
