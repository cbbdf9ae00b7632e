"""A process's item table follows Redis: whole tables, in the background, refused when they lie."""

import asyncio
import random
from contextlib import asynccontextmanager
from typing import get_args

import numpy as np
import pytest
from prometheus_client import REGISTRY
from redis import Redis

from model.contract.items import ItemTable
from model.contract.store_layout import items_key, items_version, items_version_key
from service.features.bulk_load import load_items
from service.features.connection import open_client
from service.features.item_refresh import ItemRefresher, RefreshLimits
from service.telemetry import metrics
from tests.redis_fixture import command, pause, resume
from tests.service.features.item_tables import ITEMS_PREFIX, SCHEMA, item_table

pytestmark = pytest.mark.redis

BASE = item_table(["i0", "i1", "i2"])
QUICK = RefreshLimits(call_timeout_s=0.1)


@asynccontextmanager
async def refresher(url, *, limits=QUICK):
    """A refresher over the base table, and the tables that it swapped in."""
    swapped: list[ItemTable] = []
    client = open_client(url, connections=1)
    try:
        yield (
            ItemRefresher(
                client,
                prefix=ITEMS_PREFIX,
                schema=SCHEMA,
                base=BASE,
                swap=swapped.append,
                limits=limits,
            ),
            swapped,
        )
    finally:
        await client.aclose()


def load(server, table, schema_hash=SCHEMA.hash):
    with Redis.from_url(server.url) as client:
        return load_items(
            client,
            table,
            prefix=ITEMS_PREFIX,
            schema_hash=schema_hash,
            progress=lambda done: None,
        )


def put(server, rows, version=None):
    """Write a hash of raw rows and switch to it, as somebody else's loader might."""
    version = version or items_version(SCHEMA.hash, "by-hand")
    with Redis.from_url(server.url) as client:
        client.hset(items_key(ITEMS_PREFIX, version), mapping=rows)
        client.set(items_version_key(ITEMS_PREFIX), version)


async def test_a_table_that_was_loaded_arrives_whole_and_only_once(redis_server):
    fresh = item_table([f"i{at}" for at in range(3000)], brand="b")
    async with refresher(redis_server.url) as (items, swapped):
        assert await items.refresh() == "absent"
        assert load(redis_server, fresh) is not None
        assert await items.refresh() == "swapped"
        assert await items.refresh() == "same"
    (table,) = swapped
    at = table.places(fresh.ids)
    assert np.array_equal(table.rows[at], fresh.rows)
    assert np.array_equal(table.default_row, BASE.default_row)


def looks() -> dict[str, float]:
    name, outcomes = "rerank_item_refreshes_total", get_args(metrics.ItemsOutcome)
    return {o: REGISTRY.get_sample_value(name, {"outcome": o}) or 0.0 for o in outcomes}


async def test_every_look_is_counted_by_its_outcome(redis_of_my_own):
    before = looks()
    async with refresher(redis_of_my_own.url) as (items, _):
        await items.refresh()  # nothing there
        load(redis_of_my_own, item_table(["i0", "i1"], brand="b"))
        [await items.refresh() for _ in range(2)]  # swapped, then the same
        put(redis_of_my_own, {b"i0": b"no row"})
        [await items.refresh() for _ in range(2)]  # and still refused
        redis_of_my_own.stop()
        await items.refresh()  # unavailable

    counted = {outcome: value - before[outcome] for outcome, value in looks().items()}
    assert counted == {"absent": 1, "swapped": 1, "same": 1, "refused": 2, "unavailable": 1}


async def test_numbers_and_texts_stay_those_of_the_artifact_and_new_items_have_none(redis_server):
    load(redis_server, item_table(["i2", "i70", "i0"], brand="b"))
    async with refresher(redis_server.url) as (items, swapped):
        assert await items.refresh() == "swapped"
    table = swapped[0]
    places = table.places(["i0", "i2", "i70", "i1"])
    assert places[3] == -1  # not part of the new table
    price = table.numbers["price"][places[:3]]
    assert price[:2].tolist() == [0.0, 2.0]  # as in the base table
    assert np.isnan(price[2])
    titles = [table.display["title"][p] for p in places[:3]]
    assert titles == ["title of i0", "title of i2", ""]


async def test_another_content_is_another_version_and_the_old_one_expires(redis_server):
    first = load(redis_server, item_table(["i0", "i1"]))
    assert load(redis_server, item_table(["i0", "i1"])) is None  # the same content again
    async with refresher(redis_server.url) as (items, swapped):
        assert await items.refresh() == "swapped"
        second = load(redis_server, item_table(["i0", "i1"], brand="b"))
        assert await items.refresh() == "swapped"
    assert second != first
    assert len(swapped) == 2
    with Redis.from_url(redis_server.url) as client:
        assert 0 < client.ttl(items_key(ITEMS_PREFIX, first)) <= 3600
        assert client.ttl(items_key(ITEMS_PREFIX, second)) == -1


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
        {b"i0": row(1, SCHEMA.table_rows)},  # beyond the embedding table
        {b"i0": row(1, -1)},
        {b"i0": row(1, 0)},  # padding where a value must be
        {b"i0": row(1, int(BASE.rows[0][2]))},  # a row of another field
        {b"i0": LAWFUL, b"\xff\xfe": LAWFUL},
    ],
    ids=["short", "long", "beyond", "negative", "padding", "other field", "no text"],
)
async def test_rows_that_the_graphs_must_not_read_are_refused_and_not_fetched_again(
    redis_server, rows
):
    async with refresher(redis_server.url) as (items, swapped):
        put(redis_server, rows)
        assert await items.refresh() == "refused"
        with Redis.from_url(redis_server.url) as client:
            client.delete(items_key(ITEMS_PREFIX, items_version(SCHEMA.hash, "by-hand")))
        assert await items.refresh() == "refused"  # known by its name
        assert swapped == []
        load(redis_server, item_table(["i5"]))
        assert await items.refresh() == "swapped"


async def test_a_table_of_another_schema_is_refused_by_its_name(redis_server):
    async with refresher(redis_server.url) as (items, swapped):
        load(redis_server, item_table(["i1"]), schema_hash="0" * 16)
        assert await items.refresh() == "refused"
    assert swapped == []


@pytest.mark.parametrize("limits", [RefreshLimits(items=2), RefreshLimits(bytes=53)])
async def test_a_table_above_the_bounds_is_refused(redis_server, limits):
    put(redis_server, {f"i{at}": LAWFUL for at in range(3)})  # 3 * (2 + 16) bytes
    async with refresher(redis_server.url, limits=limits) as (items, swapped):
        assert await items.refresh() == "refused"
    assert swapped == []


async def test_a_hash_that_is_gone_or_is_no_hash_leaves_the_present_table_and_is_tried_again(
    redis_server,
):
    version = items_version(SCHEMA.hash, "gone")
    command(redis_server, f"SET {items_version_key(ITEMS_PREFIX)} {version}")
    async with refresher(redis_server.url) as (items, swapped):
        assert await items.refresh() == "unavailable"
        command(redis_server, f"SET {items_key(ITEMS_PREFIX, version)} text")
        assert await items.refresh() == "unavailable"
        command(redis_server, f"DEL {items_key(ITEMS_PREFIX, version)}")
        put(redis_server, {b"i0": LAWFUL}, version)
        assert await items.refresh() == "swapped"
        command(redis_server, f"DEL {items_version_key(ITEMS_PREFIX)}")
        command(redis_server, f"LPUSH {items_version_key(ITEMS_PREFIX)} x")
        assert await items.refresh() == "unavailable"
    assert len(swapped) == 1


async def test_a_paused_and_a_restarted_server_only_delay_the_table_that_comes_next(
    redis_of_my_own,
):
    tables: asyncio.Queue[ItemTable] = asyncio.Queue()
    client = open_client(redis_of_my_own.url, connections=1)
    items = ItemRefresher(
        client,
        prefix=ITEMS_PREFIX,
        schema=SCHEMA,
        base=BASE,
        swap=tables.put_nowait,
        limits=QUICK,
    )
    pause(redis_of_my_own)
    assert await items.refresh() == "unavailable"
    running = asyncio.create_task(items.run(every_s=0.005, rng=random.Random(1)))
    try:
        async with asyncio.timeout(5):
            resume(redis_of_my_own)
            load(redis_of_my_own, item_table(["i3"], brand="b"))
            assert (await tables.get()).ids == ["i3"]
            redis_of_my_own.stop()
            redis_of_my_own.start()
            load(redis_of_my_own, item_table(["i4"], brand="b"))
            assert (await tables.get()).ids == ["i4"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.aclose()


async def test_waits_grow_while_redis_is_away_and_start_anew_when_it_is_back(monkeypatch):
    outcomes = iter(["unavailable"] * 6 + ["same", "refused", "unavailable"])
    waits = []

    class Watched(ItemRefresher):
        async def refresh(self):
            return next(outcomes)

    async def note(seconds):
        waits.append(seconds)
        if len(waits) == 9:
            raise asyncio.CancelledError

    client = open_client("redis://127.0.0.1:1", connections=1)
    items = Watched(client, prefix=ITEMS_PREFIX, schema=SCHEMA, base=BASE, swap=lambda table: None)
    monkeypatch.setattr("service.features.item_refresh.asyncio.sleep", note)
    with pytest.raises(asyncio.CancelledError):
        await items.run(every_s=1.0, rng=random.Random(1))
    expected = [2, 4, 8, 16, 16, 16, 1, 1, 2]
    for wait, step in zip(waits, expected, strict=True):
        assert step <= wait <= 1.1 * step
