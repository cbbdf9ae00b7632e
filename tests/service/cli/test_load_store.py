"""The loader command: what it writes, and the line it says when it cannot."""

import pytest
from redis import Redis

from model.contract.artifact.manifest import GraphSizes, Manifest, write_manifest
from model.contract.schema.fitted import FittedSchema
from model.contract.store.user_record import item_table_version_redis_key, user_redis_key
from model.contract.store.user_stream import write_user_stream
from service.cli import load_store
from service.features.embedded_redis import EmbeddedRedis
from tests.relist_command import run_relist
from tests.service.features.sample_item_tables import SCHEMA, make_item_table

pytestmark = pytest.mark.redis

OTHER = FittedSchema(fields=SCHEMA.fields[:-1])
USERS = [(f"u{at}", bytes([at % 256]) * (1 + at % 7)) for at in range(2500)]  # 2.5 chunks


@pytest.fixture
def handover(tmp_path):
    """A folder with users.bin and items.npz of one schema."""
    write_user_stream(tmp_path / "users.bin", SCHEMA.hash, USERS)
    make_item_table(["i0", "i1", "i2"]).write(tmp_path / "items.npz")
    return tmp_path


@pytest.fixture
def run(redis_server, capfd):
    """The command against the shared server: exit status and what it said."""

    def command(*arguments, url=redis_server.url):
        status = run_relist("load", *arguments, "--redis-url", url, "--prefix", "p")
        return status, capfd.readouterr().err

    return command


def test_load_store_writes_every_user_and_reports_count(run, handover, redis_server):
    status, said = run(handover)
    assert status == 0
    assert "2,500 of 2,500 users" in said
    with Redis.from_url(redis_server.url) as client:
        assert client.mget([user_redis_key("p", name) for name, _ in USERS]) == [
            b for _, b in USERS
        ]
        assert client.ttl(user_redis_key("p", "u0")) == -1


def test_load_store_with_ttl_expires_users(run, handover, redis_server):
    assert run(handover / "users.bin", "--ttl-s", "100")[0] == 0
    with Redis.from_url(redis_server.url) as client:
        assert 0 < client.ttl(user_redis_key("p", "u2499")) <= 100


def test_load_store_unchanged_items_are_not_rewritten(run, handover, redis_server):
    status, said = run(handover, "--items", handover / "items.npz")
    assert (status, "3 of 3 items" in said) == (0, True)
    with Redis.from_url(redis_server.url) as client:
        version = client.get(item_table_version_redis_key("p")).decode()
        assert version.startswith(SCHEMA.hash + ".")
        assert client.hlen(f"p:items:{version}") == 3
    status, said = run(handover, "--items", handover / "items.npz")
    assert (status, "serves already" in said) == (0, True)


def test_load_store_unreachable_redis_exits_3_without_password(run, handover):
    status, said = run(handover, url="redis://:hush-hush@127.0.0.1:1/0")
    assert status == 3
    assert said.startswith("relist load: redis://127.0.0.1:1/0 cannot be used: ")
    assert said.count("\n") == 1
    assert "hush" not in said


@pytest.mark.parametrize(
    "password", ["pa@zebra", "pa/zebra", "pa#zebra", "1/zebra@x", "pa?zebra=1"]
)
def test_load_store_unescaped_password_is_never_shown(run, handover, password):
    status, said = run(handover, url=f"redis://:{password}@127.0.0.1:1/0")
    assert status in (1, 3)
    assert said.count("\n") == 1
    assert "zebra" not in said
    assert "pa@" not in said


def test_load_store_missing_cluster_exits_3(run, handover):
    status, said = run(handover, "--cluster", url="redis://127.0.0.1:1")
    assert status == 3
    assert said.startswith("relist load: redis://127.0.0.1:1/0 cannot be used: no Redis Cluster")


def test_load_store_cluster_option_on_single_redis_exits_3(run, handover):
    status, said = run(handover, "--cluster")
    assert (status, "no Redis Cluster" in said) == (3, True)


def test_load_store_broken_file_writes_nothing(run, handover, redis_server):
    users = handover / "users.bin"
    whole = users.read_bytes()
    for broken, why in ((b"", "too early"), (b"NOPE" + whole[4:], "magic")):
        users.write_bytes(broken)
        status, said = run(handover)
        assert (status, why in said) == (1, True)
    users.write_bytes(whole)
    (handover / "items.npz").write_bytes(b"no zip")
    assert run(handover, "--items", handover / "items.npz")[0] == 1
    status, said = run(handover / "nowhere")
    assert (status, "no such file" in said) == (1, True)
    with Redis.from_url(redis_server.url) as client:
        assert client.dbsize() == 0


def test_load_store_without_url_names_the_option(handover, capfd, monkeypatch):
    monkeypatch.delenv("RERANK_REDIS_URL", raising=False)
    assert run_relist("load", *[str(handover)]) == 1
    assert "--redis-url" in capfd.readouterr().err


def test_load_store_uses_the_service_settings(handover, redis_server, capfd, monkeypatch):
    monkeypatch.setenv("RERANK_REDIS_URL", redis_server.url)
    monkeypatch.setenv("RERANK_REDIS_PREFIX", "from-settings")
    assert run_relist("load", *[str(handover)]) == 0
    with Redis.from_url(redis_server.url) as client:
        assert client.exists(user_redis_key("from-settings", "u7")) == 1
    assert "2,500" in capfd.readouterr().err


@pytest.mark.parametrize(("schema", "status"), [(SCHEMA, 0), (OTHER, 1)])
def test_load_store_other_schema_writes_nothing(run, handover, redis_server, schema, status):
    manifest = Manifest(
        artifact="tiny",
        created_at="2026-11-21T00:00:00Z",
        features=schema,
        schema_hash=schema.hash,
        graphs={},
        lengths=GraphSizes(
            max_candidates=5,
            slots=3,
            sessions=1,
            session_slots=3,
            edits=1,
            default_list_size=3,
            list_sizes=[3],
        ),
        members=1,
        noise_scale=1.0,
    )
    write_manifest(handover, manifest)
    found, said = run(handover, "--artifact", handover)
    assert found == status
    assert (schema.hash in said) == (status == 1)
    with Redis.from_url(redis_server.url) as client:
        assert client.dbsize() == (0 if status else len(USERS))


def test_load_store_after_interruption_replaces_partial_items(run, handover, redis_server):
    run(handover, "--items", handover / "items.npz")
    with Redis.from_url(redis_server.url) as client:
        version = client.get(item_table_version_redis_key("p")).decode()
        client.delete(item_table_version_redis_key("p"))  # cut off before the switch
        client.hset(f"p:items:{version}", "stray", b"row")
        run(handover, "--items", handover / "items.npz")
        assert client.hkeys(f"p:items:{version}") == [b"i0", b"i1", b"i2"]


def test_load_store_full_redis_error_names_no_user(run, tmp_path):
    write_user_stream(
        tmp_path / "users.bin", SCHEMA.hash, [("someone-in-person", bytes(2_000_000))] * 3
    )
    with EmbeddedRedis(maxmemory_mb=2) as small:
        status, said = run(tmp_path / "users.bin", url=small.url)

    assert status == load_store.EXIT_REDIS_UNREACHABLE
    assert "maxmemory" in said
    assert "someone-in-person" not in said
    assert "\\x00" not in said
