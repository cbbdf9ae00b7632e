"""How this process talks to Redis: a bounded pool, no retries, as few round trips as there can be.

Time limits are not set here: each call brings its own, because only the caller knows what is left.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from redis import Redis as SyncRedis
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster as SyncRedisCluster
from redis.exceptions import RedisError

RedisClient = Redis | RedisCluster
SyncRedisClient = SyncRedis | SyncRedisCluster
_SYNC_CONNECT_TIMEOUT_S, _SYNC_REPLY_TIMEOUT_S = 3.0, 30.0

# What a call can raise when the far end is down or not a Redis: beside the client's own errors,
# those of sockets and streams, and of reading bytes that are no reply.
REDIS_ERRORS = (RedisError, OSError, EOFError, ValueError, RuntimeError)


def open_redis_client(
    url: str, *, max_connections: int, cluster: bool = False, connect_timeout_s: float = 1.0
) -> RedisClient:
    """A client that connects when first used.

    Args:
        url: redis://.., rediss://.. or unix://..
        connections: calls at the same time at most; one beyond them waits within its own time.
        cluster: the url is that of any node of a Redis Cluster.
        connect_timeout_s: limit on the TCP (TLS) handshake of one connection.
    """
    if cluster:
        return _open_cluster(url, max_connections, connect_timeout_s)
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=None,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=connect_timeout_s,
        socket_timeout=None,
        socket_keepalive=True,
        protocol=2,  # no HELLO, no CLIENT SETINFO: a new connection costs its handshake only
        driver_info=None,
        health_check_interval=0,
    )
    return Redis.from_pool(pool)


class ThrottledRedisCluster(RedisCluster):
    """A cluster's client whose calls wait for their turn; without turns one too many is an error.

    A call follows a slot that has moved; while a shard is down, the others are served.
    """

    semaphore: asyncio.Semaphore

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  as overridden
        """One command, when its turn has come."""
        async with self.semaphore:
            return await super().execute_command(*args, **kwargs)


def _open_cluster(url: str, connections: int, connect_timeout_s: float) -> RedisCluster:
    client = cast(
        ThrottledRedisCluster,
        ThrottledRedisCluster.from_url(
            url,
            max_connections=2 * connections,  # to a node; those being closed count too
            require_full_coverage=False,
            reinitialize_steps=0,  # else every fifth slot that moved cuts off the calls under way
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=connect_timeout_s,
            socket_timeout=None,
            socket_keepalive=True,
            protocol=2,
            driver_info=None,
            health_check_interval=0,
        ),
    )
    client.semaphore = asyncio.Semaphore(connections)
    return client


def open_sync_redis_client(url: str, *, cluster: bool) -> SyncRedisClient:
    """A synchronous client for the loader: patient, because nobody waits for an answer."""
    client: type[SyncRedisClient] = SyncRedisCluster if cluster else SyncRedis
    return client.from_url(
        url, socket_connect_timeout=_SYNC_CONNECT_TIMEOUT_S, socket_timeout=_SYNC_REPLY_TIMEOUT_S
    )
