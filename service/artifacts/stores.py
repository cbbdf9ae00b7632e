"""Factories of the user store of an artifact, and of the refresher of its item table."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

from model.contract.artifact.manifest import Manifest
from model.contract.errors import ManifestError, UserRecordError
from model.contract.schema.item_table import ItemTable
from service.features.item_refresher import ItemRefresher
from service.features.item_table_reader import ItemTableReader
from service.features.memory_user_store import MemoryUserStore
from service.features.redis_user_store import RedisUserStore
from service.rerank.interfaces import UserStore

OpenStore = Callable[[str], UserStore]  # by schema hash; may read a file, so not on the event loop
RefreshItems = Callable[
    [Manifest, ItemTable, Callable[[ItemTable], None]], Coroutine[None, None, None]
]


@dataclass(frozen=True, slots=True)
class StoreFactories:
    """Factories of the user store and of the item refresher (None: items are not refreshed).

    `open_store` raises ManifestError where the store cannot be used: the start fails, or the
    current artifact keeps serving.
    """

    open_store: OpenStore
    refresh_items: RefreshItems | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLocation:
    """Address and options of this service's users and items in Redis."""

    url: str
    prefix: str
    connections: int
    cluster: bool


def memory_factories(users_file: Path | None) -> StoreFactories:
    """Users of a file, held in memory, or no users without a file. Items are the artifact's."""

    def open_store(schema_hash: str) -> UserStore:
        if users_file is None:
            return MemoryUserStore({}, schema_hash=schema_hash)
        try:
            return MemoryUserStore.from_file(users_file, schema_hash=schema_hash)
        except UserRecordError as error:  # the file has another schema than the artifact
            raise ManifestError(artifact=str(users_file), reason=str(error)) from error

    return StoreFactories(open_store, None)


def redis_factories(redis: RedisLocation, *, refresh_interval_s: float) -> StoreFactories:
    """Users and items from Redis."""

    def open_store(schema_hash: str) -> UserStore:
        try:
            return RedisUserStore.connect(
                redis.url,
                prefix=redis.prefix,
                schema_hash=schema_hash,
                max_connections=redis.connections,
                cluster=redis.cluster,
            )
        except ValueError as error:  # the URL cannot be used: a certificate file is missing
            raise ManifestError(artifact="user store", reason=str(error)) from error

    async def refresh(
        manifest: Manifest, base: ItemTable, swap: Callable[[ItemTable], None]
    ) -> None:
        refresher = ItemRefresher(
            ItemTableReader(redis.url, prefix=redis.prefix, cluster=redis.cluster),
            schema=manifest.features,
            artifact_items=base,
            install_table=swap,
        )
        await refresher.run(interval_s=refresh_interval_s, rng=random.Random())

    return StoreFactories(open_store, refresh)
