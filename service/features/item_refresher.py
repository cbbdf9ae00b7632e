"""Keeps a process's item table as fresh as Redis, in the background and never on a request's path.

A version's name starts with the schema hash and its rows never change, so reading in small chunks
gives one whole table or none. What does not fit is refused and the present table keeps serving.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from model.contract.schema.fitted import FittedSchema
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import (
    item_table_redis_key,
    item_table_version_redis_key,
    schema_hash_of_version,
)
from service.features.item_table_codec import InvalidItemRowsError, decode_item_table
from service.features.redis_clients import REDIS_ERRORS, RedisClient
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

_MAX_BACKOFF_FACTOR = 16


@dataclass(frozen=True, slots=True)
class ItemRefreshLimits:
    """Bounds of one refresh."""

    max_items: int = 2_000_000
    max_bytes: int = 512 * 1024 * 1024  # of ids and rows
    scan_count: int = 128  # items asked for in one reply: parsing a reply blocks the loop
    call_timeout_s: float = 2.0


class ItemRefresher:
    """Reads the version's name, and the table behind a new one; hands it to `swap` when whole."""

    def __init__(
        self,
        client: RedisClient,
        *,
        prefix: str,
        schema: FittedSchema,
        artifact_items: ItemTable,
        install_table: Callable[[ItemTable], None],
        limits: ItemRefreshLimits | None = None,
    ) -> None:
        self._client, self._prefix, self._schema = client, prefix, schema
        self._artifact_items, self._install_table, self._limits = (
            artifact_items,
            install_table,
            limits or ItemRefreshLimits(),
        )
        self._installed_version: str | None = None
        self._rejected_version: str | None = None

    async def run(self, *, interval_s: float, rng: random.Random) -> None:
        """Refresh until cancelled; rarer and rarer while Redis cannot be read.

        Waits are drawn up to a tenth longer, so that the processes of a fleet drift apart.
        """
        failures = 0
        while True:
            outcome = await self.refresh_once()
            failures = failures + 1 if outcome == "unavailable" else 0
            await asyncio.sleep(
                interval_s * min(2**failures, _MAX_BACKOFF_FACTOR) * rng.uniform(1.0, 1.1)
            )

    async def refresh_once(self) -> service_metrics.ItemRefreshOutcome:
        """One look, counted; swaps when there is another version that fits."""
        outcome = await self._check_version()
        service_metrics.ITEM_REFRESHES.labels(outcome).inc()
        return outcome

    async def _check_version(self) -> service_metrics.ItemRefreshOutcome:
        try:
            version = await self._read_version()
            if version is None:
                return "absent"
            if version in (self._installed_version, self._rejected_version):
                return "unchanged" if version == self._installed_version else "rejected"
            return await self._load_version(version)
        except REDIS_ERRORS as error:
            log_event("warning", "item_table_unavailable", error)
            return "unavailable"

    async def _read_version(self) -> str | None:
        async with asyncio.timeout(self._limits.call_timeout_s):
            name = cast(
                bytes | None, await self._client.get(item_table_version_redis_key(self._prefix))
            )
        return None if name is None else name.decode(errors="replace")

    async def _load_version(self, version: str) -> service_metrics.ItemRefreshOutcome:
        try:
            if schema_hash_of_version(version) != self._schema.hash:
                raise InvalidItemRowsError(f"of schema {schema_hash_of_version(version)[:16]}")
            rows = await self._scan_rows(item_table_redis_key(self._prefix, version))
            table = await asyncio.to_thread(
                decode_item_table, rows, self._schema, self._artifact_items
            )
        except InvalidItemRowsError as error:
            log_event("error", "item_table_rejected", version=version[:64], reason=str(error))
            self._rejected_version = version
            return "rejected"
        self._install_table(table)
        self._installed_version = version
        log_event("info", "item_table_swapped", version=version, items=len(table.ids))
        return "swapped"

    async def _scan_rows(self, key: str) -> dict[bytes, bytes]:
        """The whole hash; ConnectionError when it changed or went while it was read."""
        limits = self._limits
        async with asyncio.timeout(limits.call_timeout_s):
            expected = int(await self._client.hlen(key))
        if expected > limits.max_items:
            raise InvalidItemRowsError(f"{expected} items, at most {limits.max_items}")
        rows: dict[bytes, bytes] = {}
        cursor, size = -1, 0
        while cursor:
            async with asyncio.timeout(limits.call_timeout_s):
                reply = await self._client.hscan(key, max(cursor, 0), count=limits.scan_count)
            cursor, chunk = int(reply[0]), cast(dict[bytes, bytes], reply[1])
            rows |= chunk
            size += sum(len(item_id) + len(row) for item_id, row in chunk.items())
            if size > limits.max_bytes or len(rows) > limits.max_items:
                raise InvalidItemRowsError(
                    f"more than {limits.max_bytes} bytes or {limits.max_items} items"
                )
        if not rows or len(rows) != expected:
            raise ConnectionError(f"{len(rows)} of {expected} items were read")
        return rows
