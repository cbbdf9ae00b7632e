"""Reads keys of a Redis Cluster through redis-py's pools, which follow slots that move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from service.features.redis_address import parse_redis_url
from service.features.redis_clients import ThrottledRedisCluster, open_redis_cluster_client

_RECONNECT_TIMEOUT_S = 2.0
_RECONNECT_PAUSE_S = 0.1  # many attempts a second would cost a refused request's CPU each


class RedisClusterReader:
    """GET and PING; connects when first used. Raises RedisUrlError for an unusable URL.

    A request's time may be too short to open a connection (TLS, a far host). So a failed call
    starts a PING in the background, with more time, whose connection the pool keeps. If that fails,
    a new client looks the cluster up again and replaces the present one when it has an answer.
    """

    def __init__(
        self,
        url: str,
        max_connections: int,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address, self._max_connections = parse_redis_url(url), max_connections
        self._sleep = sleep  # between two reconnections
        self._address.build_tls_context()  # raises for certificate files that cannot be read
        self._client = self._open_client()
        self._reconnect_task: asyncio.Task[None] | None = None

    async def get(self, key: str, timeout_s: float) -> bytes | None:
        """The value, None where there is none; raises TimeoutError or any error of the client."""
        try:
            async with asyncio.timeout(self._address.limit_timeout(timeout_s)):
                # replies are not decoded
                return cast(bytes | None, await self._client.get(key))
        except Exception:  # redis-py raises some errors outside its RedisError
            self._start_reconnect()
            raise

    async def ping(self, timeout_s: float) -> None:
        """Return when the cluster answers; raises as `get` does."""
        async with asyncio.timeout(timeout_s):
            await self._client.ping()

    async def close(self) -> None:
        """Close the connections."""
        if self._reconnect_task is not None:
            self._reconnect_task.cancel()
            await asyncio.wait([self._reconnect_task])
        await self._client.aclose()

    def _open_client(self) -> ThrottledRedisCluster:
        return open_redis_cluster_client(self._address, max_connections=self._max_connections)

    def _start_reconnect(self) -> None:
        """Start a reconnection in the background, unless one is running."""
        if self._reconnect_task is None or self._reconnect_task.done():
            self._reconnect_task = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        """Open a connection for the next request; errors mean that the cluster is still down."""
        try:
            await self.ping(_RECONNECT_TIMEOUT_S)
        except Exception:  # noqa: BLE001  # of whatever type: the next failed call tries again
            await self._replace_client()
        await self._sleep(_RECONNECT_PAUSE_S)

    async def _replace_client(self) -> None:
        replacement = self._open_client()
        try:
            async with asyncio.timeout(_RECONNECT_TIMEOUT_S):
                await replacement.ping()
        except BaseException as error:
            await replacement.aclose()
            if not isinstance(error, Exception):
                raise
            return
        replaced, self._client = self._client, replacement
        await replaced.aclose()
