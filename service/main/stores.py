"""Which user store a process reads, and what keeps its item table fresh."""

from __future__ import annotations

import random
from collections.abc import Callable

from model.contract.artifact.manifest import Manifest
from model.contract.errors import ManifestError, UserRecordError
from model.contract.schema.item_table import ItemTable
from service.features.item_refresher import ItemRefresher
from service.features.item_table_reader import ItemTableReader
from service.features.memory_user_store import MemoryUserStore
from service.features.redis_user_store import RedisUserStore
from service.main.rollout import OpenStore, Refresh
from service.rerank.ports import UserStore
from service.settings import MEMORY, Settings


def open_store(settings: Settings) -> OpenStore:
    """A function from schema hash to a store of that schema; may read a file, so not on the loop.

    It raises ManifestError, so that what serves goes on, when the users file is not of the
    artifact's schema or the url of Redis can not be used (a certificate is gone).
    """
    url = settings.redis_url.get_secret_value()

    def redis(schema_hash: str) -> UserStore:
        try:
            return RedisUserStore.connect(
                url,
                prefix=settings.redis_prefix,
                schema_hash=schema_hash,
                max_connections=settings.redis_connections,
                cluster=settings.redis_cluster,
            )
        except ValueError as error:
            raise ManifestError(artifact=str(settings.artifact_dir), reason=str(error)) from error

    def memory(schema_hash: str) -> UserStore:
        if settings.users_file is None:
            return MemoryUserStore({}, schema_hash=schema_hash)
        try:
            return MemoryUserStore.from_file(settings.users_file, schema_hash=schema_hash)
        except UserRecordError as error:
            raise ManifestError(artifact=str(settings.artifact_dir), reason=str(error)) from error

    return memory if url == MEMORY else redis


def open_refresh(settings: Settings) -> Refresh | None:
    """The background refresher of a model's item table; None where there is nothing to read."""
    url = settings.redis_url.get_secret_value()
    if url == MEMORY:
        return None

    async def refresh(
        manifest: Manifest, base: ItemTable, swap: Callable[[ItemTable], None]
    ) -> None:
        refresher = ItemRefresher(
            ItemTableReader(url, prefix=settings.redis_prefix, cluster=settings.redis_cluster),
            schema=manifest.features,
            artifact_items=base,
            install_table=swap,
        )
        await refresher.run(interval_s=settings.items_refresh_s, rng=random.Random())

    return refresh
