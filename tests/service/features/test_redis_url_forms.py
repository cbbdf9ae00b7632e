"""Users, items and the loader over every form of URL, on a real Redis."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import pack_user_record
from model.contract.store.user_stream import write_user_stream
from service.cli import load_store
from service.features.item_refresher import ItemRefresher
from service.features.item_table_reader import ItemTableReader
from service.features.redis_user_store import RedisUserStore
from tests.redis_fixtures import send_inline_command
from tests.service.features.loopback_servers import loopback_server, redis_proxy
from tests.service.features.sample_item_tables import SCHEMA, make_item_table
from tests.service.features.user_records import make_user_record, records_equal

pytestmark = pytest.mark.redis

AMPLE_S = 2.0


@pytest.fixture
def handover(tmp_path):
    """A folder with users.bin and items.npz of one schema."""
    blob = pack_user_record(make_user_record(0), SCHEMA.hash)
    write_user_stream(tmp_path / "users.bin", SCHEMA.hash, [("ann", blob)])
    make_item_table(["i0", "i1"]).write(tmp_path / "items.npz")
    return tmp_path


async def load_and_read(url, handover):
    """Load with the command, then read a user and the item table, all by this URL."""
    items = str(handover / "items.npz")
    arguments = [str(handover), "--items", items, "--redis-url", url, "--prefix", "p"]
    assert await asyncio.to_thread(load_store.main, [*arguments, "--no-cluster"]) == 0
    store = RedisUserStore.connect(url, prefix="p", schema_hash=SCHEMA.hash)
    record = await store.fetch_user("ann", timeout_s=AMPLE_S)
    await store.close()
    assert records_equal(record, make_user_record(0))
    installed: list[ItemTable] = []
    reader = ItemTableReader(url, prefix="p")
    refresher = ItemRefresher(
        reader,
        schema=SCHEMA,
        artifact_items=make_item_table(["i0"]),
        install_table=installed.append,
    )
    assert await refresher.refresh_once() == "swapped"
    await reader.close()
    assert installed[0].ids == ["i0", "i1"]


@asynccontextmanager
async def locked(server, acl):
    """The server with a login, opened again at the end."""
    assert b"OK" in send_inline_command(server, f"ACL SETUSER {acl}")
    yield server


@pytest.mark.parametrize(
    "options",
    [
        "",
        "/3",
        "?db=3",
        "?socket_timeout=5&socket_connect_timeout=5",
        "?protocol=2&socket_keepalive=true",
    ],
)
async def test_redis_readers_tcp_url_loads_and_reads(private_redis, handover, options):
    await load_and_read(f"redis://127.0.0.1:{private_redis.port}{options}", handover)


async def test_redis_readers_percent_encoded_login_is_used(private_redis, handover):
    async with locked(private_redis, "an@a on >p@/#?:s ~* +@all"):
        url = f"redis://an%40a:p%40%2F%23%3F%3As@127.0.0.1:{private_redis.port}"
        await load_and_read(url, handover)
        url = f"redis://127.0.0.1:{private_redis.port}?username=an%40a&password=p%40/%23%3F:s"
        with Redis.from_url(private_redis.url) as client:
            client.flushall()
        await load_and_read(url.replace("%40/", "%40%2F"), handover)


@pytest.mark.parametrize("options", ["", "?db=2", "?socket_keepalive=true&socket_timeout=5"])
async def test_redis_readers_unix_socket_loads_and_reads(private_redis, handover, options):
    path = handover / "r.sock"
    async with loopback_server(redis_proxy(private_redis.port), path=path):
        await load_and_read(f"unix://{path}{options}", handover)


async def test_redis_readers_proxy_without_hello_loads_and_reads(private_redis, handover):
    proxy = redis_proxy(private_redis.port, refused=(b"HELLO", b"CLIENT", b"SELECT", b"INFO"))
    async with loopback_server(proxy) as url:
        await load_and_read(url, handover)


async def test_redis_readers_socket_timeout_bounds_a_fetch(private_redis):
    async def never_reply(reader, writer):
        await asyncio.Event().wait()

    async with loopback_server(never_reply) as url, asyncio.timeout(AMPLE_S):
        store = RedisUserStore.connect(f"{url}?socket_timeout=0.02", prefix="p", schema_hash="0")
        with pytest.raises(Exception, match="timeout"):
            await store.fetch_user("ann", timeout_s=60.0)
        await store.close()
