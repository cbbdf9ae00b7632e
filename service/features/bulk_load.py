"""Fills Redis: users' blobs, and a new item table that readers see all at once.

Synchronous, for the loader and the demo; requests never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar, cast

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
ProgressCallback = Callable[[int], None]  # how many are done
CHUNK_SIZE = 1_000
OLD_ITEM_TABLE_TTL_S = 3_600  # readers of the version before finish in this time


def write_users_to_redis(
    client: SyncRedisClient,
    users: Iterable[tuple[str, bytes]],
    *,
    prefix: str,
    ttl_s: int | None,
    on_progress: ProgressCallback,
) -> int:
    """Write each user's blob, a thousand a round trip; returns how many."""
    done = 0
    for chunk in _chunked(users, CHUNK_SIZE):
        with client.pipeline(transaction=False) as pipeline:
            for user_id, blob in chunk:
                pipeline.set(user_redis_key(prefix, user_id), blob, ex=ttl_s)
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
    """Write the table beside the present one, then switch to it; None when it is the present one.

    The version's name is made of the content, so a load that was cut off is simply done again. The
    table that served before expires later, for those who still read it.
    """
    version = item_table_version(schema_hash, item_table_digest(table))
    present = cast(bytes | None, client.get(item_table_version_redis_key(prefix)))
    if present == version.encode():
        return None
    key = item_table_redis_key(prefix, version)
    client.unlink(key)
    done = 0
    for chunk in _chunked(encode_item_rows(table), CHUNK_SIZE):
        client.hset(key, mapping=dict(chunk))
        done += len(chunk)
        on_progress(done)
    # One by one, because these keys lie on different nodes of a cluster. In this order a reader
    # always finds a whole table; cut off before the last, the old one stays.
    client.persist(key)
    client.set(item_table_version_redis_key(prefix), version)
    if present is not None:
        client.expire(
            item_table_redis_key(prefix, present.decode(errors="replace")), OLD_ITEM_TABLE_TTL_S
        )
    return version


def _raise_first_error(answers: list[object]) -> None:
    """Raise the first refusal as it came: what the pipeline raises holds the whole command."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _chunked(source: Iterable[ElementT], size: int) -> Iterator[list[ElementT]]:
    iterator = iter(source)
    while chunk := list(islice(iterator, size)):
        yield chunk
