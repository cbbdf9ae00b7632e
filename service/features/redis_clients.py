"""Clients of redis-py with a bounded pool, no retries and as few round trips as possible.

Each call sets its own timeout, because only the caller knows how much time is left.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis import Connection as SyncConnection
from redis import ConnectionPool as SyncConnectionPool
from redis import DriverInfo
from redis import Redis as SyncRedis
from redis import SSLConnection as SyncSSLConnection
from redis import UnixDomainSocketConnection as SyncUnixConnection
from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    Redis,
    RedisCluster,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster as SyncRedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException

from service.features.redis_address import RedisAddress, parse_redis_url

RedisClient = Redis | RedisCluster
SyncRedisClient = SyncRedis | SyncRedisCluster
_CONNECT_TIMEOUT_S = 1.0
_SYNC_CONNECT_TIMEOUT_S, _SYNC_REPLY_TIMEOUT_S = 3.0, 30.0
# No CLIENT SETINFO: some proxies close a connection on it. `driver_info` is in redis-py since 7.2.
_NO_DRIVER_INFO = DriverInfo(name="", lib_version="")


def open_redis_client(address: RedisAddress) -> Redis:
    """A client of one Redis that connects when first used and has one connection."""
    kind: type[Connection | UnixDomainSocketConnection] = Connection
    if address.unix_path is not None:
        kind = UnixDomainSocketConnection
    elif address.tls is not None:
        kind = SSLConnection
    pool = BlockingConnectionPool(
        connection_class=kind,
        max_connections=1,
        timeout=None,
        retry=Retry(NoBackoff(), 0),
        **_common_options(address, _CONNECT_TIMEOUT_S),
        **_location_options(address),
        db=address.db,
        socket_timeout=address.socket_timeout_s,
        health_check_interval=0,
    )
    return Redis.from_pool(pool)


class ThrottledRedisCluster(RedisCluster):
    """A cluster client that queues calls beyond its semaphore instead of failing them.

    A call follows a slot that has moved; while a shard is down, the others are served.
    """

    semaphore: asyncio.Semaphore

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # as overridden
        """Run one command when fewer than the allowed number are running."""
        async with self.semaphore:
            return await super().execute_command(*args, **kwargs)


def open_redis_cluster_client(
    address: RedisAddress, *, max_connections: int
) -> ThrottledRedisCluster:
    """A cluster client that connects when first used, with `max_connections` calls at a time.

    Raises RedisUrlError for an address that no cluster client can use.
    """
    address.require_cluster_support()
    client = ThrottledRedisCluster(
        max_connections=2 * max_connections,  # per node; a closing connection counts too
        require_full_coverage=False,
        reinitialize_steps=0,  # the default cuts off running calls at every fifth moved slot
        retry=Retry(NoBackoff(), 0),
        **_common_options(address, _CONNECT_TIMEOUT_S),
        **_cluster_location_options(address),
        socket_timeout=address.socket_timeout_s,
        health_check_interval=0,
    )
    client.semaphore = asyncio.Semaphore(max_connections)
    return client


def open_sync_redis_client(url: str, *, cluster: bool) -> SyncRedisClient:
    """A synchronous client for loading, with timeouts of seconds; needs no HELLO on the server.

    A cluster client connects here.

    Raises:
        RedisUrlError: a URL that cannot be used.
        redis.exceptions.ConnectionError: no Redis Cluster answers at the address.
    """
    address = parse_redis_url(url)
    address.build_tls_context()  # raises for certificate files that cannot be read
    options = _common_options(address, _SYNC_CONNECT_TIMEOUT_S) | {
        "socket_timeout": address.socket_timeout_s or _SYNC_REPLY_TIMEOUT_S
    }
    if cluster:
        address.require_cluster_support()
        try:
            return SyncRedisCluster(**options, **_cluster_location_options(address))
        except RedisClusterException as error:  # no RedisError
            raise RedisConnectionError(f"no Redis Cluster answers: {error}") from error
    kind: type[SyncConnection | SyncUnixConnection] = SyncConnection
    if address.unix_path is not None:
        kind = SyncUnixConnection
    elif address.tls is not None:
        kind = SyncSSLConnection
    pool = SyncConnectionPool(
        connection_class=kind, **options, **_location_options(address), db=address.db
    )
    return SyncRedis.from_pool(pool)


def _common_options(address: RedisAddress, connect_timeout_s: float) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": address.username,
        "password": address.password,
        "protocol": 2,  # no HELLO
        "driver_info": _NO_DRIVER_INFO,
        "socket_connect_timeout": address.connect_timeout_s or connect_timeout_s,
    }
    if address.unix_path is None:
        options["socket_keepalive"] = address.keepalive
    return options


def _location_options(address: RedisAddress) -> dict[str, Any]:
    if address.unix_path is not None:
        return {"path": address.unix_path}
    return {"host": address.host, "port": address.port, **(address.tls or {})}


def _cluster_location_options(address: RedisAddress) -> dict[str, Any]:
    tls = {} if address.tls is None else {"ssl": True, **address.tls}
    return {"host": address.host, "port": address.port, **tls}
