"""The loader command: what it writes, and the line it says when it cannot."""

import pytest
from redis import Redis

from model.contract.fitted import FittedSchema
from model.contract.manifest import Lengths, Manifest, write_manifest
from model.contract.store_layout import items_version_key, user_key
from model.contract.user_stream import write_users
from service import load
from service.features.embedded import EmbeddedRedis
from tests.service.features.item_tables import SCHEMA, item_table

pytestmark = pytest.mark.redis

OTHER = FittedSchema(fields=SCHEMA.fields[:-1])
USERS = [(f"u{at}", bytes([at % 256]) * (1 + at % 7)) for at in range(2500)]  # 2.5 chunks


@pytest.fixture
def handover(tmp_path):
    """A folder with users.bin and items.npz of one schema."""
    write_users(tmp_path / "users.bin", SCHEMA.hash, USERS)
    item_table(["i0", "i1", "i2"]).write(tmp_path / "items.npz")
    return tmp_path


@pytest.fixture
def run(redis_server, capfd):
    """The command against the shared server: exit status and what it said."""

    def command(*arguments, url=redis_server.url):
        status = load.main([*map(str, arguments), "--redis-url", url, "--prefix", "p"])
        return status, capfd.readouterr().err

    return command


def test_every_user_of_the_file_is_in_the_store_and_the_last_line_says_how_many(
    run, handover, redis_server
):
    status, said = run(handover)
    assert status == 0
    assert "2,500 of 2,500 users" in said
    with Redis.from_url(redis_server.url) as client:
        assert client.mget([user_key("p", name) for name, _ in USERS]) == [b for _, b in USERS]
        assert client.ttl(user_key("p", "u0")) == -1


def test_users_expire_when_asked_to(run, handover, redis_server):
    assert run(handover / "users.bin", "--ttl-s", "100")[0] == 0
    with Redis.from_url(redis_server.url) as client:
        assert 0 < client.ttl(user_key("p", "u2499")) <= 100


def test_items_are_switched_to_when_whole_and_left_alone_when_they_serve_already(
    run, handover, redis_server
):
    status, said = run(handover, "--items", handover / "items.npz")
    assert (status, "3 of 3 items" in said) == (0, True)
    with Redis.from_url(redis_server.url) as client:
        version = client.get(items_version_key("p")).decode()
        assert version.startswith(SCHEMA.hash + ".")
        assert client.hlen(f"p:items:{version}") == 3
    status, said = run(handover, "--items", handover / "items.npz")
    assert (status, "serves already" in said) == (0, True)


def test_an_unreachable_redis_is_one_clear_line_without_the_password_and_exit_status_2(
    run, handover
):
    status, said = run(handover, url="redis://:hush-hush@127.0.0.1:1/0")
    assert status == 2
    assert said.startswith("relist-load: redis://127.0.0.1:1/0 cannot be used: ")
    assert said.count("\n") == 1
    assert "hush" not in said


def test_files_that_are_broken_or_missing_are_refused_before_anything_is_written(
    run, handover, redis_server
):
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


def test_without_an_address_the_line_says_what_to_give(handover, capfd, monkeypatch):
    monkeypatch.delenv("RERANK_REDIS_URL", raising=False)
    assert load.main([str(handover)]) == 1
    assert "--redis-url" in capfd.readouterr().err


def test_the_settings_of_the_service_say_where_redis_is(handover, redis_server, capfd, monkeypatch):
    monkeypatch.setenv("RERANK_REDIS_URL", redis_server.url)
    monkeypatch.setenv("RERANK_REDIS_PREFIX", "from-settings")
    assert load.main([str(handover)]) == 0
    with Redis.from_url(redis_server.url) as client:
        assert client.exists(user_key("from-settings", "u7")) == 1
    assert "2,500" in capfd.readouterr().err


@pytest.mark.parametrize(("schema", "status"), [(SCHEMA, 0), (OTHER, 1)])
def test_files_of_another_schema_than_the_artifact_stop_the_load(
    run, handover, redis_server, schema, status
):
    manifest = Manifest(
        artifact="tiny",
        created_at="2026-11-21T00:00:00Z",
        features=schema,
        schema_hash=schema.hash,
        graphs={},
        lengths=Lengths(
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


def test_what_a_load_of_items_left_when_it_was_cut_off_is_gone_after_the_next(
    run, handover, redis_server
):
    run(handover, "--items", handover / "items.npz")
    with Redis.from_url(redis_server.url) as client:
        version = client.get(items_version_key("p")).decode()
        client.delete(items_version_key("p"))  # cut off before the switch
        client.hset(f"p:items:{version}", "stray", b"row")
        run(handover, "--items", handover / "items.npz")
        assert client.hkeys(f"p:items:{version}") == [b"i0", b"i1", b"i2"]


def test_a_store_that_is_full_is_named_and_no_user_is(run, tmp_path):
    write_users(tmp_path / "users.bin", SCHEMA.hash, [("someone-in-person", bytes(2_000_000))] * 3)
    with EmbeddedRedis(maxmemory_mb=2) as small:
        status, said = run(tmp_path / "users.bin", url=small.url)

    assert status == load.UNREACHABLE
    assert "maxmemory" in said
    assert "someone-in-person" not in said
    assert "\\x00" not in said
