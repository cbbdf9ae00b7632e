"""A process's item table follows Redis: whole tables, in the background, refused when they lie."""

import asyncio
import random
from contextlib import asynccontextmanager
from typing import get_args

import numpy as np
import pytest
from prometheus_client import REGISTRY
from redis import Redis

from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import (
    item_table_redis_key,
    item_table_version,
    item_table_version_redis_key,
)
from service.features.bulk_load import write_items_to_redis
from service.features.item_refresher import ItemRefresher
from service.features.item_table_reader import ItemReadLimits, ItemTableReader
from service.telemetry import service_metrics
from tests.redis_fixtures import pause_redis, resume_redis, send_inline_command
from tests.service.features.sample_item_tables import ITEMS_PREFIX, SCHEMA, make_item_table

pytestmark = pytest.mark.redis

BASE = make_item_table(["i0", "i1", "i2"])
QUICK = ItemReadLimits(call_timeout_s=0.1)


@asynccontextmanager
async def opened_refresher(url, *, limits=QUICK, cluster=False):
    """A refresher over the base table, and the tables that it installed."""
    installed: list[ItemTable] = []
    reader = ItemTableReader(url, prefix=ITEMS_PREFIX, cluster=cluster, limits=limits)
    try:
        yield (
            ItemRefresher(
                reader, schema=SCHEMA, artifact_items=BASE, install_table=installed.append
            ),
            installed,
        )
    finally:
        await reader.close()


def load(server, table, schema_hash=SCHEMA.hash):
    with Redis.from_url(server.url) as client:
        return write_items_to_redis(
            client,
            table,
            prefix=ITEMS_PREFIX,
            schema_hash=schema_hash,
            on_progress=lambda done: None,
        )


def put(server, rows, version=None):
    """Write a hash of raw rows and switch to it, as somebody else's loader might."""
    version = version or item_table_version(SCHEMA.hash, "by-hand")
    with Redis.from_url(server.url) as client:
        client.hset(item_table_redis_key(ITEMS_PREFIX, version), mapping=rows)
        client.set(item_table_version_redis_key(ITEMS_PREFIX), version)


async def test_item_refresher_new_table_is_installed_once(redis_server):
    fresh = make_item_table([f"i{at}" for at in range(3000)], brand="b")
    async with opened_refresher(redis_server.url) as (items, installed):
        assert await items.refresh_once() == "absent"
        assert load(redis_server, fresh) is not None
        assert await items.refresh_once() == "swapped"
        assert await items.refresh_once() == "unchanged"
    (table,) = installed
    at = table.row_indices(fresh.ids)
    assert np.array_equal(table.rows[at], fresh.rows)
    assert np.array_equal(table.default_row, BASE.default_row)


def count_checks() -> dict[str, float]:
    name, outcomes = "rerank_item_refreshes_total", get_args(service_metrics.ItemRefreshOutcome)
    return {o: REGISTRY.get_sample_value(name, {"outcome": o}) or 0.0 for o in outcomes}


async def test_item_refresher_each_check_counts_its_outcome(private_redis):
    before = count_checks()
    async with opened_refresher(private_redis.url) as (items, _):
        await items.refresh_once()  # nothing there
        load(private_redis, make_item_table(["i0", "i1"], brand="b"))
        [await items.refresh_once() for _ in range(2)]  # swapped, then the same
        put(private_redis, {b"i0": b"no row"})
        [await items.refresh_once() for _ in range(2)]  # and still refused
        private_redis.stop()
        await items.refresh_once()  # unavailable

    counted = {outcome: value - before[outcome] for outcome, value in count_checks().items()}
    assert counted == {
        "absent": 1,
        "swapped": 1,
        "unchanged": 1,
        "rejected": 2,
        "unavailable": 1,
        "failed": 0,
    }


async def test_item_refresher_keeps_numbers_and_display_of_artifact(redis_server):
    load(redis_server, make_item_table(["i2", "i70", "i0"], brand="b"))
    async with opened_refresher(redis_server.url) as (items, installed):
        assert await items.refresh_once() == "swapped"
    table = installed[0]
    places = table.row_indices(["i0", "i2", "i70", "i1"])
    assert places[3] == -1  # not part of the new table
    price = table.numbers["price"][places[:3]]
    assert price[:2].tolist() == [0.0, 2.0]  # as in the base table
    assert np.isnan(price[2])
    titles = [table.display["title"][p] for p in places[:3]]
    assert titles == ["title of i0", "title of i2", ""]


async def test_item_table_changed_content_expires_old_version(redis_server):
    first = load(redis_server, make_item_table(["i0", "i1"]))
    assert load(redis_server, make_item_table(["i0", "i1"])) is None  # the same content again
    async with opened_refresher(redis_server.url) as (items, installed):
        assert await items.refresh_once() == "swapped"
        second = load(redis_server, make_item_table(["i0", "i1"], brand="b"))
        assert await items.refresh_once() == "swapped"
    assert second != first
    assert len(installed) == 2
    with Redis.from_url(redis_server.url) as client:
        assert 0 < client.ttl(item_table_redis_key(ITEMS_PREFIX, first)) <= 3600
        assert client.ttl(item_table_redis_key(ITEMS_PREFIX, second)) == -1


def row(at, value):
    """A lawful row with one number changed."""
    changed = BASE.rows[0].copy()
    changed[at] = value
    return changed.astype("<i4").tobytes()


LAWFUL = BASE.rows[0].astype("<i4").tobytes()


@pytest.mark.parametrize(
    "rows",
    [
        {b"i0": LAWFUL, b"i1": LAWFUL[:-1]},
        {b"i0": LAWFUL, b"i1": LAWFUL + b"\0" * 4},
        {b"i0": row(1, SCHEMA.num_embeddings)},  # beyond the embedding table
        {b"i0": row(1, -1)},
        {b"i0": row(1, 0)},  # padding where a value must be
        {b"i0": row(1, int(BASE.rows[0][2]))},  # a row of another field
        {b"i0": LAWFUL, b"\xff\xfe": LAWFUL},
    ],
    ids=["short", "long", "beyond", "negative", "padding", "other field", "no text"],
)
async def test_item_refresher_invalid_rows_are_rejected_once(redis_server, rows):
    async with opened_refresher(redis_server.url) as (items, installed):
        put(redis_server, rows)
        assert await items.refresh_once() == "rejected"
        with Redis.from_url(redis_server.url) as client:
            client.delete(
                item_table_redis_key(ITEMS_PREFIX, item_table_version(SCHEMA.hash, "by-hand"))
            )
        assert await items.refresh_once() == "rejected"  # known by its name
        assert installed == []
        load(redis_server, make_item_table(["i5"]))
        assert await items.refresh_once() == "swapped"


async def test_item_refresher_other_schema_is_rejected(redis_server):
    async with opened_refresher(redis_server.url) as (items, installed):
        load(redis_server, make_item_table(["i1"]), schema_hash="0" * 16)
        assert await items.refresh_once() == "rejected"
    assert installed == []


@pytest.mark.parametrize("limits", [ItemReadLimits(max_items=2), ItemReadLimits(max_bytes=53)])
async def test_item_refresher_oversized_table_is_rejected(redis_server, limits):
    put(redis_server, {f"i{at}": LAWFUL for at in range(3)})  # 3 * (2 + 16) bytes
    async with opened_refresher(redis_server.url, limits=limits) as (items, installed):
        assert await items.refresh_once() == "rejected"
    assert installed == []


async def test_item_refresher_missing_hash_keeps_table_and_retries(
    redis_server,
):
    version = item_table_version(SCHEMA.hash, "gone")
    send_inline_command(redis_server, f"SET {item_table_version_redis_key(ITEMS_PREFIX)} {version}")
    async with opened_refresher(redis_server.url) as (items, installed):
        assert await items.refresh_once() == "unavailable"
        send_inline_command(redis_server, f"SET {item_table_redis_key(ITEMS_PREFIX, version)} text")
        assert await items.refresh_once() == "unavailable"
        send_inline_command(redis_server, f"DEL {item_table_redis_key(ITEMS_PREFIX, version)}")
        put(redis_server, {b"i0": LAWFUL}, version)
        assert await items.refresh_once() == "swapped"
        send_inline_command(redis_server, f"DEL {item_table_version_redis_key(ITEMS_PREFIX)}")
        send_inline_command(redis_server, f"LPUSH {item_table_version_redis_key(ITEMS_PREFIX)} x")
        assert await items.refresh_once() == "unavailable"
    assert len(installed) == 1


async def test_item_refresher_redis_restart_only_delays_refresh(private_redis):
    tables: asyncio.Queue[ItemTable] = asyncio.Queue()
    refresher = ItemRefresher(
        ItemTableReader(private_redis.url, prefix=ITEMS_PREFIX, limits=QUICK),
        schema=SCHEMA,
        artifact_items=BASE,
        install_table=tables.put_nowait,
    )
    pause_redis(private_redis)
    assert await refresher.refresh_once() == "unavailable"
    running = asyncio.create_task(refresher.run(interval_s=0.005, rng=random.Random(1)))
    try:
        async with asyncio.timeout(5):
            resume_redis(private_redis)
            load(private_redis, make_item_table(["i3"], brand="b"))
            assert (await tables.get()).ids == ["i3"]
            private_redis.stop()
            private_redis.start()
            load(private_redis, make_item_table(["i4"], brand="b"))
            assert (await tables.get()).ids == ["i4"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class RecordedSleep:
    """Records the waits of a refresher and ends it after `count` of them."""

    def __init__(self, count):
        self.count, self.waits = count, []

    async def __call__(self, seconds):
        self.waits.append(seconds)
        if len(self.waits) == self.count:
            raise asyncio.CancelledError


def assert_waits(waits, expected):
    for wait, step in zip(waits, expected, strict=True):
        assert step <= wait <= 1.1 * step


async def test_item_refresher_without_redis_checks_each_second(private_redis):
    url = private_redis.url
    private_redis.stop()
    sleep = RecordedSleep(6)
    refresher = ItemRefresher(
        ItemTableReader(url, prefix=ITEMS_PREFIX),
        schema=SCHEMA,
        artifact_items=BASE,
        install_table=lambda table: None,
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await refresher.run(interval_s=30.0, rng=random.Random(1))
    assert_waits(sleep.waits, [1.0] * 6)


async def test_item_refresher_failing_load_backs_off(redis_server):
    """A version without its hash: each attempt would read a whole table again."""
    version = item_table_version(SCHEMA.hash, "gone")
    send_inline_command(redis_server, f"SET {item_table_version_redis_key(ITEMS_PREFIX)} {version}")
    sleep = RecordedSleep(7)
    refresher = ItemRefresher(
        ItemTableReader(redis_server.url, prefix=ITEMS_PREFIX),
        schema=SCHEMA,
        artifact_items=BASE,
        install_table=lambda table: None,
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await refresher.run(interval_s=2.0, rng=random.Random(1))
    assert_waits(sleep.waits, [1, 2, 4, 8, 16, 32, 32])


async def test_item_refresher_unexpected_error_is_counted_and_retried(redis_server):
    installed = []

    def install_second_time(table):
        installed.append(table)
        if len(installed) == 1:
            raise ZeroDivisionError

    load(redis_server, make_item_table(["i5"]))
    before, sleep = count_checks(), RecordedSleep(2)
    refresher = ItemRefresher(
        ItemTableReader(redis_server.url, prefix=ITEMS_PREFIX),
        schema=SCHEMA,
        artifact_items=BASE,
        install_table=install_second_time,
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await refresher.run(interval_s=30.0, rng=random.Random(1))
    counted = {outcome: value - before[outcome] for outcome, value in count_checks().items()}
    assert (counted["failed"], counted["swapped"]) == (1, 1)
    assert_waits(sleep.waits, [1.0, 30.0])
