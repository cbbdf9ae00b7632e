"""Fills Redis: users' blobs, and a new item table that readers see all at once.

Synchronous, for the loader and the demo; requests never come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar, cast

from model.contract.items import ItemTable
from model.contract.store_layout import items_key, items_version, items_version_key, user_key
from service.features.connection import BulkClient
from service.features.item_rows import content_digest, hash_fields

T = TypeVar("T")
Progress = Callable[[int], None]  # how many are done
CHUNK = 1_000
KEEP_OLD_ITEMS_S = 3_600  # readers of the version before finish in this time


def load_users(
    client: BulkClient,
    users: Iterable[tuple[str, bytes]],
    *,
    prefix: str,
    ttl_s: int | None,
    progress: Progress,
) -> int:
    """Write each user's blob, a thousand a round trip; returns how many."""
    done = 0
    for chunk in _chunks(users, CHUNK):
        with client.pipeline(transaction=False) as pipeline:
            for user_id, blob in chunk:
                pipeline.set(user_key(prefix, user_id), blob, ex=ttl_s)
            _require_done(pipeline.execute(raise_on_error=False))
        done += len(chunk)
        progress(done)
    return done


def load_items(
    client: BulkClient, table: ItemTable, *, prefix: str, schema_hash: str, progress: Progress
) -> str | None:
    """Write the table beside the present one, then switch to it; None when it is the present one.

    The version's name is made of the content, so a load that was cut off is simply done again. The
    table that served before expires later, for those who still read it.
    """
    version = items_version(schema_hash, content_digest(table))
    present = cast(bytes | None, client.get(items_version_key(prefix)))
    if present == version.encode():
        return None
    key = items_key(prefix, version)
    client.unlink(key)
    done = 0
    for chunk in _chunks(hash_fields(table), CHUNK):
        client.hset(key, mapping=dict(chunk))
        done += len(chunk)
        progress(done)
    # One by one, because these keys lie on different nodes of a cluster. In this order a reader
    # always finds a whole table; cut off before the last, the old one stays.
    client.persist(key)
    client.set(items_version_key(prefix), version)
    if present is not None:
        client.expire(items_key(prefix, present.decode(errors="replace")), KEEP_OLD_ITEMS_S)
    return version


def _require_done(answers: list[object]) -> None:
    """Raise the first refusal as it came: what the pipeline raises holds the whole command."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _chunks(source: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(source)
    while chunk := list(islice(iterator, size)):
        yield chunk
