"""User features from Redis: one GET a request, within the caller's time, without a retry.

Satisfies the protocol `UserStore` of `service.rerank`.
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
from service.features.redis_cluster_reader import RedisClusterReader

REDIS_STORE = "redis"


class KeyReader(Protocol):
    """Reads keys within a timeout; may raise any Exception, TimeoutError for the timeout."""

    def get(self, key: str, timeout_s: float) -> Awaitable[bytes | None]:
        """The value, None where there is none."""
        ...

    async def ping(self, timeout_s: float) -> None:
        """Return when the server answers."""
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

        Args:
            url: redis://.., rediss://.. or unix://..; of any node for a cluster.
            prefix: prefix of every key.
            schema_hash: schema that records must have.
            max_connections: calls at a time to a cluster; a single Redis has one connection.
            cluster: whether the URL is that of a Redis Cluster.

        Raises:
            RedisUrlError: a URL, option or certificate file that cannot be used.
        """
        reader: KeyReader = (
            RedisClusterReader(url, max_connections) if cluster else PipelinedRedisReader(url)
        )
        return cls(reader, prefix=prefix, schema_hash=schema_hash)

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        """The record of a user, None for an unknown one; raises FeaturesUnavailable only."""
        started_at = time.monotonic()
        try:
            blob = await self._reader.get(user_redis_key(self._prefix, user_id), timeout_s)
        except Exception as error:  # noqa: BLE001  # no error of a store may fail a request
            _raise_unavailable(_classify_fault(error), started_at, timeout_s, error)
        if blob is None:
            return None
        try:
            return unpack_user_record(blob, self._schema_hash)
        except UserRecordError as error:
            _raise_unavailable("unreadable", started_at, timeout_s, error)

    async def ping(self, *, timeout_s: float) -> None:
        """Return when Redis answers within `timeout_s`, else raise FeaturesUnavailable."""
        started_at = time.monotonic()
        try:
            await self._reader.ping(timeout_s)
        except Exception as error:  # noqa: BLE001  # no error of a store may fail a request
            _raise_unavailable(_classify_fault(error), started_at, timeout_s, error)

    async def close(self) -> None:
        """Close the connections; no call follows."""
        await self._reader.close()


def _classify_fault(error: Exception) -> StoreFault:
    return "timeout" if isinstance(error, TimeoutError | RedisTimeoutError) else "down"


def _raise_unavailable(
    fault: StoreFault, started_at: float, timeout_s: float, error: Exception
) -> NoReturn:
    waited_ms = (time.monotonic() - started_at) * 1e3
    raise FeaturesUnavailable(
        store=REDIS_STORE, fault=fault, waited_ms=waited_ms, budget_ms=timeout_s * 1e3
    ) from error
