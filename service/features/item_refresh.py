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

from model.contract.fitted import FittedSchema
from model.contract.items import ItemTable
from model.contract.store_layout import items_key, items_version_key, schema_of_items
from service.features.connection import STORE_ERRORS, Client
from service.features.item_rows import RowsRefusedError, build_table
from service.telemetry import metrics
from service.telemetry.logs import event

_MOST_BACKOFF = 16


@dataclass(frozen=True, slots=True)
class RefreshLimits:
    """Bounds of one refresh."""

    items: int = 2_000_000
    bytes: int = 512 * 1024 * 1024  # of ids and rows
    chunk: int = 128  # items asked for in one reply: parsing a reply blocks the loop
    call_timeout_s: float = 2.0


class ItemRefresher:
    """Reads the version's name, and the table behind a new one; hands it to `swap` when whole."""

    def __init__(
        self,
        client: Client,
        *,
        prefix: str,
        schema: FittedSchema,
        base: ItemTable,
        swap: Callable[[ItemTable], None],
        limits: RefreshLimits | None = None,
    ) -> None:
        self._client, self._prefix, self._schema = client, prefix, schema
        self._base, self._swap, self._limits = base, swap, limits or RefreshLimits()
        self._serving: str | None = None
        self._refused: str | None = None

    async def run(self, *, every_s: float, rng: random.Random) -> None:
        """Refresh until cancelled; rarer and rarer while Redis cannot be read.

        Waits are drawn up to a tenth longer, so that the processes of a fleet drift apart.
        """
        failures = 0
        while True:
            outcome = await self.refresh()
            failures = failures + 1 if outcome == "unavailable" else 0
            await asyncio.sleep(every_s * min(2**failures, _MOST_BACKOFF) * rng.uniform(1.0, 1.1))

    async def refresh(self) -> metrics.ItemsOutcome:
        """One look, counted; swaps when there is another version that fits."""
        outcome = await self._look()
        metrics.ITEM_REFRESHES.labels(outcome).inc()
        return outcome

    async def _look(self) -> metrics.ItemsOutcome:
        try:
            version = await self._version()
            if version is None:
                return "absent"
            if version in (self._serving, self._refused):
                return "same" if version == self._serving else "refused"
            return await self._read(version)
        except STORE_ERRORS as error:
            event("warning", "items_unavailable", error)
            return "unavailable"

    async def _version(self) -> str | None:
        async with asyncio.timeout(self._limits.call_timeout_s):
            name = cast(bytes | None, await self._client.get(items_version_key(self._prefix)))
        return None if name is None else name.decode(errors="replace")

    async def _read(self, version: str) -> metrics.ItemsOutcome:
        try:
            if schema_of_items(version) != self._schema.hash:
                raise RowsRefusedError(f"of schema {schema_of_items(version)[:16]}")
            rows = await self._rows(items_key(self._prefix, version))
            table = await asyncio.to_thread(build_table, rows, self._schema, self._base)
        except RowsRefusedError as error:
            event("error", "items_refused", version=version[:64], why=str(error))
            self._refused = version
            return "refused"
        self._swap(table)
        self._serving = version
        event("info", "items_swapped", version=version, items=len(table.ids))
        return "swapped"

    async def _rows(self, key: str) -> dict[bytes, bytes]:
        """The whole hash; ConnectionError when it changed or went while it was read."""
        limits = self._limits
        async with asyncio.timeout(limits.call_timeout_s):
            expected = int(await self._client.hlen(key))
        if expected > limits.items:
            raise RowsRefusedError(f"{expected} items, at most {limits.items}")
        rows: dict[bytes, bytes] = {}
        cursor, size = -1, 0
        while cursor:
            async with asyncio.timeout(limits.call_timeout_s):
                reply = await self._client.hscan(key, max(cursor, 0), count=limits.chunk)
            cursor, chunk = int(reply[0]), cast(dict[bytes, bytes], reply[1])
            rows |= chunk
            size += sum(len(item_id) + len(row) for item_id, row in chunk.items())
            if size > limits.bytes or len(rows) > limits.items:
                raise RowsRefusedError(f"more than {limits.bytes} bytes or {limits.items} items")
        if not rows or len(rows) != expected:
            raise ConnectionError(f"{len(rows)} of {expected} items were read")
        return rows
