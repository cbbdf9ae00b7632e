"""Reads keys of a Redis Cluster through the client's own pools, which follow slots that move."""

from __future__ import annotations

import asyncio
from typing import cast

from service.features.redis_clients import REDIS_ERRORS, RedisClient, open_redis_client

_RECONNECT_TIMEOUT_S = 2.0


class RedisClusterReader:
    """GET and PING; connects when first used.

    A request's time may be too short to open a connection (TLS, a far host). So a fetch that failed
    starts one mending PING in the background, with more time, whose connection the pool keeps for
    the next request. There is at most one at a time.
    """

    def __init__(self, url: str, max_connections: int) -> None:
        self._client: RedisClient = open_redis_client(
            url, max_connections=max_connections, cluster=True
        )
        self._reconnect_task: asyncio.Task[None] | None = None

    async def get(self, key: str, timeout_s: float) -> bytes | None:
        """The value, None where there is none; raises TimeoutError or one of REDIS_ERRORS."""
        try:
            async with asyncio.timeout(timeout_s):
                # replies are not decoded
                return cast(bytes | None, await self._client.get(key))
        except REDIS_ERRORS:
            self._reconnect()
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

    def _reconnect(self) -> None:
        """Open a connection for the next request, beside the one that just failed."""
        if self._reconnect_task is None or self._reconnect_task.done():
            self._reconnect_task = asyncio.create_task(self._ping_in_background())

    async def _ping_in_background(self) -> None:
        try:
            await self.ping(_RECONNECT_TIMEOUT_S)
        except REDIS_ERRORS:
            return  # still down: the next failing request starts the next attempt
