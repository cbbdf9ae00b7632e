"""The contract of user stores, on a real Redis, a Redis Cluster and in memory."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from model.contract.errors import UserRecordError
from model.contract.store.user_record import pack_user_record, user_redis_key
from model.contract.store.user_stream import write_user_stream
from service.errors import FeaturesUnavailable
from service.features.memory_user_store import MemoryUserStore
from service.features.redis_clients import open_sync_redis_client
from service.features.redis_user_store import RedisUserStore
from tests.service.features.user_records import (
    OTHER_SCHEMA,
    PREFIX,
    SCHEMA,
    make_user_record,
    records_equal,
)

IDS = ("ann", "bo b", "ç:1")
LIMIT_S = 2.0


def blobs():
    return {
        user_id: pack_user_record(make_user_record(seed), SCHEMA)
        for seed, user_id in enumerate(IDS)
    }


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
                client.set(user_redis_key(PREFIX, user_id), blob)
        store = RedisUserStore.connect(server.url, prefix=PREFIX, schema_hash=SCHEMA)
        yield store
        await store.close()

    @asynccontextmanager
    async def cluster(held):
        nodes = request.getfixturevalue("shared_cluster")
        with open_sync_redis_client(nodes.url, cluster=True) as client:
            for user_id in {*IDS, "bad"}:
                client.delete(user_redis_key(PREFIX, user_id))
            for user_id, blob in held.items():
                client.set(user_redis_key(PREFIX, user_id), blob)
        store = RedisUserStore.connect(nodes.url, prefix=PREFIX, schema_hash=SCHEMA, cluster=True)
        yield store
        await store.close()

    needed = {"redis": "redis_server", "cluster": "shared_cluster"}.get(request.param)
    if needed is not None:
        request.getfixturevalue(needed)
    return {"memory": memory, "redis": redis, "cluster": cluster}[request.param]


async def test_user_store_concurrent_fetches_return_own_records(open_store):
    async with open_store(blobs()) as store:
        wanted = [0, 1, 2] * 20
        found = await asyncio.gather(*(store.fetch_user(IDS[i], timeout_s=LIMIT_S) for i in wanted))
        for i, record in zip(wanted, found, strict=True):
            assert records_equal(record, make_user_record(i))


async def test_user_store_unknown_user_is_none(open_store):
    async with open_store(blobs()) as store:
        assert await store.fetch_user("nobody", timeout_s=LIMIT_S) is None
        assert await store.fetch_user("", timeout_s=LIMIT_S) is None


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"RL",
        pack_user_record(make_user_record(1), SCHEMA)[:-1],
        pack_user_record(make_user_record(1), SCHEMA) + b"x",
        pack_user_record(make_user_record(1), OTHER_SCHEMA),
        b"\xff" * 64,
    ],
    ids=["empty", "stub", "truncated", "overlong", "other schema", "noise"],
)
async def test_user_store_unreadable_record_is_a_fault(open_store, broken):
    async with open_store(blobs() | {"bad": broken}) as store:
        with pytest.raises(FeaturesUnavailable) as caught:
            await store.fetch_user("bad", timeout_s=LIMIT_S)
        assert caught.value.fault == "unreadable"
        assert "bad" not in str(caught.value)  # no user id in what may be logged
        assert records_equal(await store.fetch_user("ann", timeout_s=LIMIT_S), make_user_record(0))


async def test_user_store_ping_succeeds(open_store):
    async with open_store({}) as store:
        await store.ping(timeout_s=LIMIT_S)


async def test_memory_user_store_loads_users_file(tmp_path):
    write_user_stream(tmp_path / "users.bin", SCHEMA, list(blobs().items()))
    store = MemoryUserStore.from_file(tmp_path / "users.bin", schema_hash=SCHEMA)
    for seed, user_id in enumerate(IDS):
        assert records_equal(
            await store.fetch_user(user_id, timeout_s=LIMIT_S), make_user_record(seed)
        )
    with pytest.raises(UserRecordError, match=OTHER_SCHEMA):
        MemoryUserStore.from_file(tmp_path / "users.bin", schema_hash=OTHER_SCHEMA)
