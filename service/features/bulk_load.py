"""Fills Redis with user records, and with a new item table that readers switch to at once.

Synchronous, for `relist load` and the demo; no request runs this. An error of the Redis client is
raised as a RedisError or OSError, whatever its own type.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import (
    item_table_redis_key,
    item_table_version,
    item_table_version_redis_key,
    user_redis_key,
)
from service.features.item_table_codec import encode_item_rows, item_table_digest
from service.features.redis_clients import SyncRedisClient

ElementT = TypeVar("ElementT")
ProgressCallback = Callable[[int], None]  # called with the number of elements written
CHUNK_SIZE = 1_000
OLD_ITEM_TABLE_TTL_S = 3_600  # readers of the previous version finish within this time


def write_users_to_redis(
    client: SyncRedisClient,
    users: Iterable[tuple[str, bytes]],
    *,
    prefix: str,
    ttl_s: int | None,
    on_progress: ProgressCallback,
) -> int:
    """Write (user id, record) pairs, CHUNK_SIZE a round trip; returns their number."""
    done = 0
    for chunk in _chunked(users, CHUNK_SIZE):
        with _redis_errors(), client.pipeline(transaction=False) as pipeline:
            for user_id, record in chunk:
                pipeline.set(user_redis_key(prefix, user_id), record, ex=ttl_s)
            _raise_first_error(pipeline.execute(raise_on_error=False))
        done += len(chunk)
        on_progress(done)
    return done


def write_items_to_redis(
    client: SyncRedisClient,
    table: ItemTable,
    *,
    prefix: str,
    schema_hash: str,
    on_progress: ProgressCallback,
) -> str | None:
    """Write the table beside the present one, then switch to it.

    The version's name is a digest of the content, so an interrupted load can be run again. The
    previous version expires after OLD_ITEM_TABLE_TTL_S.

    Returns:
        The new version, None when it is the present one.
    """
    version = item_table_version(schema_hash, item_table_digest(table))
    version_key = item_table_version_redis_key(prefix)
    with _redis_errors():
        present = cast(bytes | None, client.get(version_key))
    if present == version.encode():
        return None
    key = item_table_redis_key(prefix, version)
    with _redis_errors():
        client.unlink(key)
    done = 0
    for chunk in _chunked(encode_item_rows(table), CHUNK_SIZE):
        with _redis_errors():
            client.hset(key, mapping=dict(chunk))
        done += len(chunk)
        on_progress(done)
    # One command each, because the keys are on different nodes of a cluster. In this order readers
    # always find a whole table; an interruption before the last command keeps the previous one.
    with _redis_errors():
        client.persist(key)
        client.set(version_key, version)
        if present is not None:
            previous_key = item_table_redis_key(prefix, present.decode(errors="replace"))
            client.expire(previous_key, OLD_ITEM_TABLE_TTL_S)
    return version


@contextlib.contextmanager
def _redis_errors() -> Iterator[None]:
    """Raise errors that redis-py has outside its RedisError (of a cluster) as ConnectionError."""
    try:
        yield
    except (RedisError, OSError):
        raise
    except Exception as error:
        raise RedisConnectionError(str(error)) from error


def _raise_first_error(replies: list[object]) -> None:
    """Raise the first error reply; the pipeline's own error would hold the whole command."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply


def _chunked(source: Iterable[ElementT], size: int) -> Iterator[list[ElementT]]:
    iterator = iter(source)
    while chunk := list(islice(iterator, size)):
        yield chunk
