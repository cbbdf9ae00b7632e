"""Keeps the item table of a process as fresh as Redis, in the background of requests.

A version's name starts with the schema hash, and its rows never change. So chunked reads give one
whole table or none. A table that does not fit is rejected and the present one keeps serving.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from model.contract.schema.fitted import FittedSchema
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import schema_hash_of_version
from service.errors import FeaturesUnavailable
from service.features.item_table_codec import InvalidItemRowsError, decode_item_table
from service.features.item_table_reader import ItemTableReader
from service.telemetry import service_metrics
from service.telemetry.structured_logs import log_event

_PROBE_INTERVAL_S = 1.0  # while the version cannot be read: one short command
_MAX_BACKOFF_FACTOR = 16  # of the interval, after failed reads of a whole table

Sleep = Callable[[float], Awaitable[None]]


class ItemRefresher:
    """Reads the version's name, reads the table of a new version and installs it.

    Args:
        reader: reads Redis; this refresher closes it when `run` ends.
        schema: fitted schema that a table must have.
        artifact_items: the artifact's own table; the source of numbers and display texts.
        install_table: called with each new table, on the event loop.
        sleep: waits for a number of seconds.
    """

    def __init__(
        self,
        reader: ItemTableReader,
        *,
        schema: FittedSchema,
        artifact_items: ItemTable,
        install_table: Callable[[ItemTable], None],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._reader, self._schema, self._sleep = reader, schema, sleep
        self._artifact_items, self._install_table = artifact_items, install_table
        self._installed_version: str | None = None
        self._rejected_version: str | None = None
        self._failed_loads = 0  # in a row
        self._last_failure: str | None = None

    async def run(self, *, interval_s: float, rng: random.Random) -> None:
        """Refresh until cancelled.

        Waits are up to a tenth longer than due, so that the processes of a fleet drift apart.
        """
        try:
            while True:
                outcome = await self.refresh_once()
                await self._sleep(self._delay_s(outcome, interval_s) * rng.uniform(1.0, 1.1))
        finally:
            await self._reader.close()

    async def refresh_once(self) -> service_metrics.ItemRefreshOutcome:
        """Check the version once, install a new table that fits; counts and logs every failure."""
        try:
            outcome = await self._check_version()
        except FeaturesUnavailable as error:
            outcome = "unavailable"
            self._log_failure("warning", "item_table_unavailable", error.__cause__ or error)
        except Exception as error:  # noqa: BLE001  # the next check may succeed
            outcome = "failed"
            self._log_failure("error", "item_refresh_failed", error)
        else:
            self._failed_loads, self._last_failure = 0, None
        service_metrics.ITEM_REFRESHES.labels(outcome).inc()
        return outcome

    def _delay_s(self, outcome: service_metrics.ItemRefreshOutcome, interval_s: float) -> float:
        """Seconds to the next check: short while Redis is away, growing while a load fails."""
        if outcome not in ("unavailable", "failed"):
            return interval_s
        first_s = min(interval_s, _PROBE_INTERVAL_S)
        doublings = max(self._failed_loads - 1, 0)
        return float(min(first_s * 2.0 ** min(doublings, 30), interval_s * _MAX_BACKOFF_FACTOR))

    async def _check_version(self) -> service_metrics.ItemRefreshOutcome:
        version = await self._reader.read_version()
        if version is None:
            return "absent"
        if version == self._installed_version:
            return "unchanged"
        if version == self._rejected_version:
            return "rejected"
        self._failed_loads += 1  # until the load has succeeded
        return await self._load_version(version)

    async def _load_version(self, version: str) -> service_metrics.ItemRefreshOutcome:
        try:
            schema_hash = schema_hash_of_version(version)
            if schema_hash != self._schema.hash:
                raise InvalidItemRowsError(f"of schema {schema_hash[:16]}")
            rows = await self._reader.read_rows(version)
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

    def _log_failure(self, level: str, event: str, error: BaseException) -> None:
        """Log a failure unless the check before failed in the same way."""
        failure = f"{event} {type(error).__name__}"
        if failure != self._last_failure:
            log_event(level, event, error)
        self._last_failure = failure
