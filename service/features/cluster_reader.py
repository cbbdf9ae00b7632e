"""Reads keys of a Redis Cluster through the client's own pools, which follow slots that move."""

from __future__ import annotations

import asyncio
from typing import cast

from service.features.connection import STORE_ERRORS, Client, open_client

_MEND_TIMEOUT_S = 2.0


class ClusterReader:
    """GET and PING; connects when first used.

    A request's time may be too short to open a connection (TLS, a far host). So a fetch that failed
    starts one mending PING in the background, with more time, whose connection the pool keeps for
    the next request. There is at most one at a time.
    """

    def __init__(self, url: str, connections: int) -> None:
        self._client: Client = open_client(url, connections=connections, cluster=True)
        self._mending: asyncio.Task[None] | None = None

    async def get(self, key: str, timeout_s: float) -> bytes | None:
        """The value, None where there is none; raises TimeoutError or one of STORE_ERRORS."""
        try:
            async with asyncio.timeout(timeout_s):
                # replies are not decoded
                return cast(bytes | None, await self._client.get(key))
        except STORE_ERRORS:
            self._mend()
            raise

    async def ping(self, timeout_s: float) -> None:
        """Return when the cluster answers; raises as `get` does."""
        async with asyncio.timeout(timeout_s):
            await self._client.ping()

    async def close(self) -> None:
        """Close the connections."""
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
            await self.ping(_MEND_TIMEOUT_S)
        except STORE_ERRORS:
            return  # still down: the next failing request starts the next attempt
