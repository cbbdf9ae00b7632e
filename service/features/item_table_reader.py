"""Reads the version and the rows of an item table from Redis or a Redis Cluster."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from redis.exceptions import TimeoutError as RedisTimeoutError

from model.contract.store.user_record import item_table_redis_key, item_table_version_redis_key
from service.errors import FeaturesUnavailable
from service.features.item_table_codec import InvalidItemRowsError
from service.features.redis_address import parse_redis_url
from service.features.redis_clients import (
    RedisClient,
    open_redis_client,
    open_redis_cluster_client,
)
from service.features.redis_user_store import REDIS_STORE

_CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class ItemReadLimits:
    """Bounds of reading one table."""

    max_items: int = 2_000_000
    max_bytes: int = 512 * 1024 * 1024  # of ids and rows
    scan_count: int = 128  # items per reply: parsing a reply blocks the event loop
    call_timeout_s: float = 2.0


class ItemTableReader:
    """Reads with one connection, opened at the first use and again after any failure.

    Raises RedisUrlError for a URL that cannot be used. Its methods raise FeaturesUnavailable for
    every failure of Redis, whatever the client raised.
    """

    def __init__(
        self, url: str, *, prefix: str, cluster: bool = False, limits: ItemReadLimits | None = None
    ) -> None:
        self._address, self._prefix, self._cluster = parse_redis_url(url), prefix, cluster
        if cluster:
            self._address.require_cluster_support()
        self._limits = limits or ItemReadLimits()
        self._call_timeout_s = self._address.limit_timeout(self._limits.call_timeout_s)
        self._client: RedisClient | None = None

    async def read_version(self) -> str | None:
        """Name of the present version, None without one."""
        async with self._connected() as client, asyncio.timeout(self._call_timeout_s):
            name = cast(bytes | None, await client.get(item_table_version_redis_key(self._prefix)))
        return None if name is None else name.decode(errors="replace")

    async def read_rows(self, version: str) -> dict[bytes, bytes]:
        """All rows of a version by item id.

        Raises:
            InvalidItemRowsError: more items or bytes than the limits allow.
            FeaturesUnavailable: also when the hash is missing or changed during the scan.
        """
        key = item_table_redis_key(self._prefix, version)
        async with self._connected() as client:
            async with asyncio.timeout(self._call_timeout_s):
                expected = int(await client.hlen(key))
            self._check_size(expected, 0)
            rows = await self._scan(client, key)
            if not rows or len(rows) != expected:
                raise ConnectionError(f"{len(rows)} of {expected} items were read")
        return rows

    async def close(self) -> None:
        """Close the connection; a later read opens another."""
        client, self._client = self._client, None
        if client is None:
            return
        with contextlib.suppress(Exception):  # closing a broken connection may fail
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await client.aclose()

    async def _scan(self, client: RedisClient, key: str) -> dict[bytes, bytes]:
        rows: dict[bytes, bytes] = {}
        cursor, size = -1, 0
        while cursor:
            async with asyncio.timeout(self._call_timeout_s):
                reply = await client.hscan(key, max(cursor, 0), count=self._limits.scan_count)
            cursor, chunk = int(reply[0]), cast(dict[bytes, bytes], reply[1])
            rows |= chunk
            size += sum(len(item_id) + len(row) for item_id, row in chunk.items())
            self._check_size(len(rows), size)
        return rows

    def _check_size(self, items: int, size_bytes: int) -> None:
        limits = self._limits
        if items > limits.max_items or size_bytes > limits.max_bytes:
            raise InvalidItemRowsError(
                f"more than {limits.max_items} items or {limits.max_bytes} bytes"
            )

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[RedisClient]:
        """The client; turns every error but InvalidItemRowsError into FeaturesUnavailable."""
        started_at = time.monotonic()
        try:
            if self._client is None:
                self._client = self._open_client()
            yield self._client
        except InvalidItemRowsError:
            raise
        except Exception as error:
            # A new client also looks up host and cluster nodes again.
            await self.close()
            is_timeout = isinstance(error, TimeoutError | RedisTimeoutError)
            raise FeaturesUnavailable(
                store=REDIS_STORE,
                fault="timeout" if is_timeout else "down",
                waited_ms=(time.monotonic() - started_at) * 1e3,
                budget_ms=self._call_timeout_s * 1e3,
            ) from error

    def _open_client(self) -> RedisClient:
        if self._cluster:
            return open_redis_cluster_client(self._address, max_connections=1)
        return open_redis_client(self._address)
