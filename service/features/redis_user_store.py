"""User features from Redis: one GET a request, within the caller's time, without a retry.

Knows neither HTTP nor the use case; satisfies `UserStore` of the rerank room by its shape.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import NoReturn, Protocol, Self

from redis.exceptions import TimeoutError as RedisTimeoutError

from model.contract.errors import UserRecordError
from model.contract.store.user_record import UserRecord, unpack_user_record, user_redis_key
from service.errors import FeaturesUnavailable, StoreFault
from service.features.pipelined_redis_reader import PipelinedRedisReader
from service.features.redis_clients import REDIS_ERRORS
from service.features.redis_cluster_reader import RedisClusterReader

REDIS_STORE = "redis"


class KeyReader(Protocol):
    """What reads keys within a time, or raises TimeoutError or one of REDIS_ERRORS."""

    def get(self, key: str, timeout_s: float) -> Awaitable[bytes | None]:
        """The value, None where there is none."""
        ...

    async def ping(self, timeout_s: float) -> None:
        """Return when the far end answers."""
        ...

    async def close(self) -> None:
        """Close the connections; no call follows."""
        ...


class RedisUserStore:
    """Reads one user's blob of one schema."""

    def __init__(self, reader: KeyReader, *, prefix: str, schema_hash: str) -> None:
        self._reader, self._prefix, self._schema_hash = reader, prefix, schema_hash

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        prefix: str,
        schema_hash: str,
        max_connections: int = 16,
        cluster: bool = False,
    ) -> Self:
        """A store that connects when first used.

        connections: to a cluster; a Redis by itself is read over one.
        """
        reader: KeyReader = (
            RedisClusterReader(url, max_connections) if cluster else PipelinedRedisReader(url)
        )
        return cls(reader, prefix=prefix, schema_hash=schema_hash)

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        """One user, None for one never seen; raises FeaturesUnavailable within `timeout_s`."""
        began = time.monotonic()
        try:
            blob = await self._reader.get(user_redis_key(self._prefix, user_id), timeout_s)
        except REDIS_ERRORS as error:
            _raise_unavailable(_classify_fault(error), began, timeout_s, error)
        if blob is None:
            return None
        try:
            return unpack_user_record(blob, self._schema_hash)
        except UserRecordError as error:
            _raise_unavailable("unreadable", began, timeout_s, error)

    async def ping(self, *, timeout_s: float) -> None:
        """Return when Redis answers within `timeout_s`, else raise FeaturesUnavailable."""
        began = time.monotonic()
        try:
            await self._reader.ping(timeout_s)
        except REDIS_ERRORS as error:
            _raise_unavailable(_classify_fault(error), began, timeout_s, error)

    async def close(self) -> None:
        """Close the connections; no call follows."""
        await self._reader.close()


def _classify_fault(error: Exception) -> StoreFault:
    return "timeout" if isinstance(error, TimeoutError | RedisTimeoutError) else "down"


def _raise_unavailable(
    fault: StoreFault, began: float, timeout_s: float, error: Exception
) -> NoReturn:
    waited_ms = (time.monotonic() - began) * 1e3
    raise FeaturesUnavailable(
        store=REDIS_STORE, fault=fault, waited_ms=waited_ms, budget_ms=timeout_s * 1e3
    ) from error
