"""Outages of a whole Redis Cluster: declared faults only, and recovery within two seconds."""

import asyncio
import gc
import random
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import RedisClusterException

from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import pack_user_record, user_redis_key
from service.errors import FeaturesUnavailable
from service.features.bulk_load import write_items_to_redis
from service.features.item_refresher import ItemRefresher
from service.features.item_table_reader import ItemTableReader
from service.features.redis_clients import open_sync_redis_client
from service.features.redis_cluster_reader import RedisClusterReader
from service.features.redis_user_store import RedisUserStore
from tests.hang_limit import HANG_S
from tests.local_redis_cluster import running_redis_cluster
from tests.service.features.sample_item_tables import ITEMS_PREFIX, make_item_table
from tests.service.features.sample_item_tables import SCHEMA as ITEMS_SCHEMA
from tests.service.features.user_records import PREFIX, SCHEMA, make_user_record, records_equal

# redis-py leaves the connection of a failed look-up of the nodes to the garbage collector.
UNCLOSED = pytest.mark.filterwarnings("ignore::ResourceWarning")
pytestmark = [pytest.mark.redis, pytest.mark.slow, UNCLOSED]

BUDGET_S, RECOVERY_S = 0.05, 2.0
USERS = [f"user-{index}" for index in range(30)]


@pytest.fixture(autouse=True)
def collected_garbage():
    """Collects what a test leaves before its filter of warnings ends."""
    yield
    gc.collect()


def fill(cluster, items):
    with open_sync_redis_client(cluster.url, cluster=True) as client:
        for seed, user_id in enumerate(USERS):
            record = pack_user_record(make_user_record(seed), SCHEMA)
            client.set(user_redis_key(PREFIX, user_id), record)
        write_items_to_redis(
            client,
            make_item_table(items),
            prefix=ITEMS_PREFIX,
            schema_hash=ITEMS_SCHEMA.hash,
            on_progress=lambda done: None,
        )


@asynccontextmanager
async def opened_store(cluster):
    store = RedisUserStore.connect(cluster.url, prefix=PREFIX, schema_hash=SCHEMA, cluster=True)
    try:
        yield store
    finally:
        await store.close()


async def is_hit(store, index):
    """Whether a user is read with their own record; any other error is raised."""
    try:
        record = await store.fetch_user(USERS[index], timeout_s=BUDGET_S)
    except FeaturesUnavailable:
        return False
    assert records_equal(record, make_user_record(index))
    return True


async def count_hits(store):
    """Number of users that are read within the budget."""
    return sum(await asyncio.gather(*(is_hit(store, index) for index in range(len(USERS)))))


async def wait_until_read(store):
    """Return when every user was read once, as a service under load would read them."""

    async def read(index):
        while not await is_hit(store, index):  # noqa: ASYNC110  # a read, with a pause
            await asyncio.sleep(0.01)

    async with asyncio.timeout(HANG_S):
        await asyncio.gather(*map(read, range(len(USERS))))


class QuickSleep:
    """Records each wait and sleeps a hundredth of it."""

    def __init__(self):
        self.waits = []

    async def __call__(self, seconds):
        self.waits.append(seconds)
        await asyncio.sleep(seconds / 100)

    async def record_more(self, count):
        """The next waits, without the first, which may follow a check that began before."""
        known = len(self.waits) + 1
        async with asyncio.timeout(HANG_S):
            while len(self.waits) < known + count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.waits[known:]


async def restart(cluster, items):
    for port in cluster.ports:
        cluster.start_node(port)
    await asyncio.to_thread(cluster.wait_until_healthy)
    await asyncio.to_thread(fill, cluster, items)


def open_refresher(url, installed, sleep):
    return ItemRefresher(
        ItemTableReader(url, prefix=ITEMS_PREFIX, cluster=True),
        schema=ITEMS_SCHEMA,
        artifact_items=make_item_table(["i0"]),
        install_table=installed.put_nowait,
        sleep=sleep,
    )


async def test_redis_cluster_all_nodes_killed_then_recovers(tmp_path):
    installed: asyncio.Queue[ItemTable] = asyncio.Queue()
    sleep = QuickSleep()
    refresher = open_refresher("redis://127.0.0.1:1", installed, sleep)
    assert await refresher.refresh_once() == "unavailable"  # a service before its cluster
    with running_redis_cluster(tmp_path) as cluster:
        refresher = open_refresher(cluster.url, installed, sleep)
        fill(cluster, ["i0", "i1"])
        running = asyncio.create_task(refresher.run(interval_s=30.0, rng=random.Random(1)))
        async with opened_store(cluster) as store, asyncio.timeout(3 * HANG_S):
            await wait_until_read(store)
            assert (await installed.get()).ids == ["i0", "i1"]
            cluster.stop()
            for _ in range(20):
                assert await count_hits(store) == 0
            assert max(await sleep.record_more(5)) < RECOVERY_S
            assert not running.done()
            await restart(cluster, ["i2", "i3"])
            await wait_until_read(store)
            assert (await installed.get()).ids == ["i2", "i3"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_redis_cluster_reader_without_cluster_pauses_below_recovery():
    sleep = QuickSleep()
    reader = RedisClusterReader("redis://127.0.0.1:1", 2, sleep=sleep)
    async with asyncio.timeout(HANG_S):
        while len(sleep.waits) < 3:
            with pytest.raises(RedisClusterException, match="cannot be connected"):
                await reader.get("a", HANG_S)
    assert 0.05 < min(sleep.waits) <= max(sleep.waits) < RECOVERY_S / 4
    await reader.close()


async def test_redis_cluster_started_after_store_is_read(tmp_path):
    with running_redis_cluster(tmp_path) as cluster:
        cluster.stop()
        async with opened_store(cluster) as store:
            with pytest.raises(FeaturesUnavailable):
                await store.ping(timeout_s=BUDGET_S)
            for _ in range(20):
                assert await count_hits(store) == 0
            await restart(cluster, ["i0"])
            await wait_until_read(store)


async def test_redis_cluster_failover_recovers_by_itself(tmp_path):
    with running_redis_cluster(tmp_path, with_replica=True) as cluster:
        fill(cluster, ["i0"])
        async with opened_store(cluster) as store:
            await wait_until_read(store)
            await asyncio.sleep(0.5)  # the replica has the last writes
            cluster.stop_node(cluster.ports[0])
            replica = cluster.replica
            assert replica is not None
            async with asyncio.timeout(HANG_S):
                while b"master" not in await asyncio.to_thread(cluster.execute_on, replica, "ROLE"):
                    await count_hits(store)
            await wait_until_read(store)


async def test_redis_cluster_slots_moved_under_load_fail_nothing(tmp_path):
    with running_redis_cluster(tmp_path) as cluster:
        fill(cluster, ["i0"])
        keys = [user_redis_key(PREFIX, user_id) for user_id in USERS]
        moving = True

        async def read_until_moved(index):
            reads = 0
            while moving:
                record = await store.fetch_user(USERS[index], timeout_s=HANG_S)
                assert records_equal(record, make_user_record(index))
                reads += 1
            return reads

        async with opened_store(cluster) as store:
            await wait_until_read(store)
            readers = [asyncio.create_task(read_until_moved(i)) for i in range(len(USERS))]
            for key in keys[:12]:
                target = next(p for p in cluster.ports if p != cluster.slot_owner_port(key))
                await asyncio.to_thread(cluster.migrate_slot, key, target)
            moving = False
            assert min(await asyncio.gather(*readers)) > 0
