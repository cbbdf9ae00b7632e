"""How this process talks to Redis: a bounded pool, no retries, as few round trips as there can be.

Time limits are not set here: each call brings its own, because only the caller knows what is left.
"""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# What a call can raise when the far end is down or not a Redis: beside the client's own errors,
# those of sockets and streams, and of reading bytes that are no reply.
STORE_ERRORS = (RedisError, OSError, EOFError, ValueError, RuntimeError)


def open_client(url: str, *, connections: int, connect_timeout_s: float = 1.0) -> Redis:
    """A client that connects when first used.

    Args:
        url: redis://.., rediss://.. or unix://..
        connections: connections open at most; a call beyond them waits within its own time.
        connect_timeout_s: limit on the TCP (TLS) handshake of one connection.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
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
