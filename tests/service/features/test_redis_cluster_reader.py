"""The stores on a real Redis Cluster: slots that move, shards that go, calls that are given up."""

import asyncio
import gc
import os
import random
import signal
import time
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import (
    item_table_version_redis_key,
    pack_user_record,
    user_redis_key,
)
from model.contract.store.user_stream import write_user_stream
from service.cli import load_store
from service.errors import FeaturesUnavailable
from service.features.embedded_redis import LOOPBACK_HOST
from service.features.item_refresher import ItemRefresher
from service.features.item_table_reader import ItemTableReader
from service.features.redis_clients import open_sync_redis_client
from service.features.redis_user_store import RedisUserStore
from tests.local_redis_cluster import running_redis_cluster
from tests.service.features.sample_item_tables import ITEMS_PREFIX, make_item_table
from tests.service.features.sample_item_tables import SCHEMA as ITEMS_SCHEMA
from tests.service.features.user_records import PREFIX, SCHEMA, make_user_record, records_equal

pytestmark = pytest.mark.redis

BUDGET_S, AMPLE_S, SLACK_S = 0.05, 2.0, 0.25
USERS = [f"user-{at}" for at in range(30)]  # enough for each of three nodes to hold some


@pytest.fixture(autouse=True, scope="module")
def spared_the_collector():
    """Budgets here are milliseconds; what other tests left may take the collector longer."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@asynccontextmanager
async def opened(cluster):
    store = RedisUserStore.connect(cluster.url, prefix=PREFIX, schema_hash=SCHEMA, cluster=True)
    try:
        await store.ping(timeout_s=AMPLE_S)
        yield store
    finally:
        await store.close()


def fill(cluster):
    with open_sync_redis_client(cluster.url, cluster=True) as client:
        for seed, user_id in enumerate(USERS):
            client.set(
                user_redis_key(PREFIX, user_id), pack_user_record(make_user_record(seed), SCHEMA)
            )


def by_node(cluster):
    """Places of the users by the port of the node that holds them."""
    held: dict[int, list[int]] = {}
    for at, user_id in enumerate(USERS):
        held.setdefault(cluster.slot_owner_port(user_redis_key(PREFIX, user_id)), []).append(at)
    return held


async def test_redis_cluster_concurrent_fetches_span_all_shards(shared_cluster):
    fill(shared_cluster)
    assert sorted(by_node(shared_cluster)) == sorted(shared_cluster.ports)
    async with opened(shared_cluster) as store:
        found = await asyncio.gather(
            *(store.fetch_user(user_id, timeout_s=AMPLE_S) for user_id in USERS)
        )
    for seed, record in enumerate(found):
        assert records_equal(record, make_user_record(seed))


async def test_redis_reader_on_a_cluster_reports_the_redirect(shared_cluster):
    fill(shared_cluster)
    held = by_node(shared_cluster)
    store = RedisUserStore.connect(shared_cluster.url, prefix=PREFIX, schema_hash=SCHEMA)
    elsewhere = USERS[held[shared_cluster.ports[1]][0]]
    with pytest.raises(FeaturesUnavailable) as caught:
        await store.fetch_user(elsewhere, timeout_s=AMPLE_S)
    assert caught.value.fault == "down"
    await store.close()


async def test_redis_cluster_migrating_slot_fails_no_fetch(shared_cluster):
    fill(shared_cluster)
    user_id = USERS[3]
    key = user_redis_key(PREFIX, user_id)
    home = shared_cluster.slot_owner_port(key)
    away = next(port for port in shared_cluster.ports if port != home)
    async with opened(shared_cluster) as store:
        for target in (away, home):
            assert records_equal(
                await store.fetch_user(user_id, timeout_s=AMPLE_S), make_user_record(3)
            )
            await asyncio.to_thread(shared_cluster.migrate_slot, key, target)
            # the client still asks where it was, and is told where it is
            assert records_equal(
                await store.fetch_user(user_id, timeout_s=AMPLE_S), make_user_record(3)
            )


async def test_redis_cluster_migrating_slots_fail_no_concurrent_fetch(shared_cluster):
    fill(shared_cluster)
    first, second, _ = shared_cluster.ports
    moving = [user_redis_key(PREFIX, USERS[at]) for at in by_node(shared_cluster)[first]]
    assert len(moving) > 5  # the client's own default gives up on its map after five
    async with opened(shared_cluster) as store:
        for target in (second, first):
            for key in moving:
                await asyncio.to_thread(shared_cluster.migrate_slot, key, target)
            found = await asyncio.gather(
                *(store.fetch_user(user_id, timeout_s=AMPLE_S) for user_id in USERS * 10)
            )
            for at, record in enumerate(found):
                assert records_equal(record, make_user_record(at % len(USERS)))


async def test_redis_cluster_cancelled_fetches_never_mix_users(shared_cluster):
    fill(shared_cluster)
    rng = random.Random(5)
    async with opened(shared_cluster) as store:
        for _ in range(150):
            given_up = asyncio.create_task(store.fetch_user(rng.choice(USERS), timeout_s=AMPLE_S))
            await asyncio.sleep(rng.uniform(0, 0.0006))
            given_up.cancel()
            places = rng.sample(range(len(USERS)), 3)
            found = await asyncio.gather(
                *(store.fetch_user(USERS[at], timeout_s=AMPLE_S) for at in places)
            )
            for at, record in zip(places, found, strict=True):
                assert records_equal(record, make_user_record(at))
            await asyncio.gather(given_up, return_exceptions=True)


@pytest.fixture(scope="module")
def cluster_of_my_own(tmp_path_factory):
    with running_redis_cluster(tmp_path_factory.mktemp("own")) as cluster:
        fill(cluster)
        yield cluster


async def answers(store, places):
    """How many of these users are found within the budget; a miss is declared and in time."""
    found = 0
    for at in places:
        began = time.monotonic()
        try:
            found += records_equal(
                await store.fetch_user(USERS[at], timeout_s=BUDGET_S), make_user_record(at)
            )
        except FeaturesUnavailable:
            assert time.monotonic() - began < BUDGET_S + SLACK_S
    return found


@pytest.mark.slow
async def test_redis_cluster_dead_shard_leaves_others_served(cluster_of_my_own):
    cluster = cluster_of_my_own
    held = by_node(cluster)
    dead = cluster.ports[2]
    others = [at for port, places in held.items() if port != dead for at in places]
    async with opened(cluster) as store:
        assert await answers(store, range(len(USERS))) == len(USERS)
        cluster.stop_node(dead)
        for _ in range(5):  # its own users fail again and again; nobody else pays for it
            assert await answers(store, held[dead]) == 0
            assert await answers(store, others) >= len(others) - 1

        cluster.start_node(dead)
        await asyncio.to_thread(cluster.wait_until_healthy)
        await asyncio.to_thread(fill, cluster)
        ends = time.monotonic() + 5.0
        while await answers(store, held[dead]) < len(held[dead]):
            assert time.monotonic() < ends
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_redis_cluster_hanging_shard_delays_only_its_users(
    cluster_of_my_own,
):
    cluster = cluster_of_my_own
    held = by_node(cluster)
    hung = cluster.ports[1]
    others = [at for port, places in held.items() if port != hung for at in places]
    async with opened(cluster) as store:
        assert await answers(store, range(len(USERS))) == len(USERS)
        os.kill(cluster.pid(hung), signal.SIGSTOP)
        try:
            for _ in range(2):
                assert await answers(store, held[hung][:3]) == 0
                assert await answers(store, others) >= len(others) - 1
        finally:
            os.kill(cluster.pid(hung), signal.SIGCONT)


async def test_item_refresher_reads_from_a_cluster(shared_cluster, tmp_path):
    for items in (["i0", "i1", "i2"], ["i3", "i4"]):  # the second switches from the first
        make_item_table(items).write(tmp_path / "items.npz")
        write_user_stream(tmp_path / "users.bin", ITEMS_SCHEMA.hash, [("ann", b"x"), ("bo", b"y")])
        arguments = [str(tmp_path), "--items", str(tmp_path / "items.npz"), "--cluster"]
        where = ["--redis-url", shared_cluster.url, "--prefix", ITEMS_PREFIX]
        assert load_store.main([*arguments, *where]) == 0
        swapped: list[ItemTable] = []
        reader = ItemTableReader(shared_cluster.url, prefix=ITEMS_PREFIX, cluster=True)
        refresher = ItemRefresher(
            reader,
            schema=ITEMS_SCHEMA,
            artifact_items=make_item_table(["i0"]),
            install_table=swapped.append,
        )
        assert await refresher.refresh_once() == "swapped"
        assert sorted(swapped[0].ids) == items
        await reader.close()


def test_load_store_cluster_spreads_users_over_nodes(shared_cluster, tmp_path):
    with open_sync_redis_client(shared_cluster.url, cluster=True) as client:
        client.delete(item_table_version_redis_key("spread"))
    users = [(f"u{at}", bytes([at % 256]) * (1 + at % 7)) for at in range(2500)]
    write_user_stream(tmp_path / "users.bin", ITEMS_SCHEMA.hash, users)
    versions = []
    for items in (["i0", "i1"], ["i5"]):
        make_item_table(items).write(tmp_path / "items.npz")
        arguments = [str(tmp_path), "--items", str(tmp_path / "items.npz"), "--cluster"]
        assert (
            load_store.main([*arguments, "--redis-url", shared_cluster.url, "--prefix", "spread"])
            == 0
        )
        with open_sync_redis_client(shared_cluster.url, cluster=True) as client:
            versions.append(client.get(item_table_version_redis_key("spread")).decode())
    with open_sync_redis_client(shared_cluster.url, cluster=True) as client:
        assert [client.get(user_redis_key("spread", name)) for name, _ in users[::100]] == [
            blob for _, blob in users[::100]
        ]
        assert 3500 < client.ttl(f"spread:items:{versions[0]}") <= 3600
        assert client.ttl(f"spread:items:{versions[1]}") == -1
    sizes = []
    for port in shared_cluster.ports:
        with Redis(host=LOOPBACK_HOST, port=port) as node:
            sizes.append(sum(1 for _ in node.scan_iter("spread:u:*", count=1000)))
    assert sum(sizes) == len(users)
    assert min(sizes) > len(users) / 6  # half of an even share
