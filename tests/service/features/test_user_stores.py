"""What both user stores promise, on a real Redis, a Redis Cluster and in memory alike."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from model.contract.errors import BlobError
from model.contract.store_layout import pack_user, user_key
from model.contract.user_stream import write_users
from service.errors import FeaturesUnavailable
from service.features.connection import open_bulk_client
from service.features.memory_store import MemoryUserStore
from service.features.redis_store import RedisUserStore
from tests.service.features.records import OTHER_SCHEMA, PREFIX, SCHEMA, same, user_record

IDS = ("ann", "bo b", "ç:1")
LIMIT_S = 2.0


def blobs():
    return {user_id: pack_user(user_record(seed), SCHEMA) for seed, user_id in enumerate(IDS)}


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("cluster", marks=pytest.mark.redis),
    ]
)
def open_store(request):
    """A context manager that opens a store over {user id: blob}."""

    @asynccontextmanager
    async def memory(held):
        store = MemoryUserStore(held, schema_hash=SCHEMA)
        yield store
        await store.close()

    @asynccontextmanager
    async def redis(held):
        server = request.getfixturevalue("redis_server")
        with Redis.from_url(server.url) as client:
            for user_id, blob in held.items():
                client.set(user_key(PREFIX, user_id), blob)
        store = RedisUserStore.connect(server.url, prefix=PREFIX, schema_hash=SCHEMA)
        yield store
        await store.close()

    @asynccontextmanager
    async def cluster(held):
        nodes = request.getfixturevalue("shared_cluster")
        with open_bulk_client(nodes.url, cluster=True) as client:
            for user_id in {*IDS, "bad"}:
                client.delete(user_key(PREFIX, user_id))
            for user_id, blob in held.items():
                client.set(user_key(PREFIX, user_id), blob)
        store = RedisUserStore.connect(nodes.url, prefix=PREFIX, schema_hash=SCHEMA, cluster=True)
        yield store
        await store.close()

    needed = {"redis": "redis_server", "cluster": "shared_cluster"}.get(request.param)
    if needed is not None:
        request.getfixturevalue(needed)
    return {"memory": memory, "redis": redis, "cluster": cluster}[request.param]


async def test_each_user_gets_the_own_record_also_when_asked_for_at_the_same_time(open_store):
    async with open_store(blobs()) as store:
        wanted = [0, 1, 2] * 20
        found = await asyncio.gather(*(store.fetch_user(IDS[i], timeout_s=LIMIT_S) for i in wanted))
        for i, record in zip(wanted, found, strict=True):
            assert same(record, user_record(i))


async def test_a_user_that_was_never_seen_is_none_and_no_fault(open_store):
    async with open_store(blobs()) as store:
        assert await store.fetch_user("nobody", timeout_s=LIMIT_S) is None
        assert await store.fetch_user("", timeout_s=LIMIT_S) is None


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"RL",
        pack_user(user_record(1), SCHEMA)[:-1],
        pack_user(user_record(1), SCHEMA) + b"x",
        pack_user(user_record(1), OTHER_SCHEMA),
        b"\xff" * 64,
    ],
    ids=["empty", "stub", "truncated", "overlong", "other schema", "noise"],
)
async def test_an_unreadable_blob_is_one_named_fault_and_hurts_nobody_else(open_store, broken):
    async with open_store(blobs() | {"bad": broken}) as store:
        with pytest.raises(FeaturesUnavailable) as caught:
            await store.fetch_user("bad", timeout_s=LIMIT_S)
        assert caught.value.fault == "unreadable"
        assert "bad" not in str(caught.value)  # no user id in what may be logged
        assert same(await store.fetch_user("ann", timeout_s=LIMIT_S), user_record(0))


async def test_a_store_in_order_answers_a_ping(open_store):
    async with open_store({}) as store:
        await store.ping(timeout_s=LIMIT_S)


async def test_the_memory_store_loads_the_file_of_all_users(tmp_path):
    write_users(tmp_path / "users.bin", SCHEMA, list(blobs().items()))
    store = MemoryUserStore.from_file(tmp_path / "users.bin", schema_hash=SCHEMA)
    for seed, user_id in enumerate(IDS):
        assert same(await store.fetch_user(user_id, timeout_s=LIMIT_S), user_record(seed))
    with pytest.raises(BlobError, match=OTHER_SCHEMA):
        MemoryUserStore.from_file(tmp_path / "users.bin", schema_hash=OTHER_SCHEMA)
