"""One parser for the URL of Redis: every form and option, and refusals that hold no secret."""

import ssl
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.features.item_table_reader import ItemTableReader
from service.features.pipelined_redis_reader import PipelinedRedisReader
from service.features.redis_address import RedisAddress, RedisUrlError, parse_redis_url
from service.features.redis_clients import open_sync_redis_client
from service.features.redis_cluster_reader import RedisClusterReader


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", RedisAddress()),
        ("redis://h", RedisAddress(host="h")),
        ("redis://h:7/", RedisAddress(host="h", port=7)),
        ("redis://h/3", RedisAddress(host="h", db=3)),
        ("redis://h?db=3", RedisAddress(host="h", db=3)),
        ("redis://[::1]:7/2", RedisAddress(host="::1", port=7, db=2)),
        ("redis://:p%40%2F%23s@h", RedisAddress(host="h", password="p@/#s")),
        ("redis://:p@ss@h", RedisAddress(host="h", password="p@ss")),
        ("redis://u:p@h", RedisAddress(host="h", username="u", password="p")),
        ("redis://h?username=u&password=p", RedisAddress(host="h", username="u", password="p")),
        ("unix:///run/r.sock", RedisAddress(unix_path="/run/r.sock")),
        ("unix://u:p@/r.sock?db=2", RedisAddress(
            unix_path="/r.sock", db=2, username="u", password="p"
        )),
        ("redis://h?socket_timeout=0.5", RedisAddress(host="h", socket_timeout_s=0.5)),
        ("redis://h?socket_connect_timeout=2", RedisAddress(host="h", connect_timeout_s=2.0)),
        ("redis://h?socket_keepalive=no&protocol=2", RedisAddress(host="h", keepalive=False)),
        ("rediss://h", RedisAddress(host="h", tls={"ssl_check_hostname": True})),
    ],
)  # fmt: skip
def test_parse_redis_url_reads_every_form(url, expected):
    assert parse_redis_url(url) == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h", "redis://"),
        ("redis://h:x", "port"),
        ("redis://h:99999", "port"),
        ("redis://h?db=x", "db"),
        ("redis://h/x", "db"),
        ("redis://h/1?db=2", "db"),
        ("redis://h?protocol=3", "protocol"),
        ("redis://h?max_connections=5", "max_connections"),
        ("redis://h?decode_responses=true", "decode_responses"),
        ("redis://h?health_check_interval=1", "health_check_interval"),
        ("redis://h?socket_timeout=0", "socket_timeout"),
        ("redis://h?socket_timeout=soon", "socket_timeout"),
        ("redis://h?socket_keepalive=maybe", "socket_keepalive"),
        ("redis://h?db", "name=value"),
        ("redis://u@h?username=v", "username"),
        ("redis://h?ssl_ca_certs=/x.pem", "rediss"),
        ("rediss://h?ssl_validate_ocsp=true", "ssl_validate_ocsp"),
        ("rediss://h?ssl_cert_reqs=some", "some"),
        ("rediss://h?ssl_min_version=7", "7"),
        ("unix://r.sock", "absolute"),
        ("unix://", "absolute"),
    ],
)
def test_parse_redis_url_unusable_part_is_named(url, reason):
    with pytest.raises(RedisUrlError, match=reason):
        parse_redis_url(url)


SECRET_PARTS = ("hush", "zebra", "quill")


@pytest.mark.parametrize("separator", ["@", "/", "#", "?", "/@", "?x=", "#@/", ":"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
@pytest.mark.parametrize("user", ["", "u"])
def test_redis_address_unescaped_password_is_never_shown(scheme, user, separator):
    password = separator.join(SECRET_PARTS)
    location = "/r.sock" if scheme == "unix" else "localhost:6379/0"
    try:
        address = parse_redis_url(f"{scheme}://{user}:{password}@{location}")
    except RedisUrlError as error:
        shown = "".join(traceback.TracebackException.from_exception(error).format_exception_only())
    else:
        assert address.password == password
        shown = address.display_url + repr(address)
    assert not [part for part in SECRET_PARTS if part in shown]


@pytest.mark.parametrize("digits", ["1/zebra@quill", "1#zebra", "1?zebra=quill"])
def test_redis_address_numeric_password_start_is_refused(digits):
    with pytest.raises(RedisUrlError) as refused:
        parse_redis_url(f"redis://u:{digits}@localhost/0")
    assert not [part for part in SECRET_PARTS if part in str(refused.value)]


@given(st.text(max_size=30))
def test_parse_redis_url_random_text_raises_only_url_error(text):
    for scheme in ("redis", "rediss", "unix"):
        try:
            parse_redis_url(f"{scheme}://{text}")
        except RedisUrlError:
            continue


CLIENTS: dict[str, Callable[[str], object]] = {
    "users": PipelinedRedisReader,
    "users of a cluster": lambda url: RedisClusterReader(url, 1),
    "items": lambda url: ItemTableReader(url, prefix="p"),
    "items of a cluster": lambda url: ItemTableReader(url, prefix="p", cluster=True),
    "loader": lambda url: open_sync_redis_client(url, cluster=False),
    "loader of a cluster": lambda url: open_sync_redis_client(url, cluster=True),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("url", ["redis://h?max_connections=5", "redis://h?protocol=3"])
async def test_redis_clients_refuse_the_same_urls(client, url):
    with pytest.raises(RedisUrlError):
        CLIENTS[client](url)


@pytest.mark.parametrize("client", [name for name in CLIENTS if "cluster" in name])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("unix:///r.sock", "unix"),
        ("redis://h/3", "db"),
        ("rediss://h?ssl_ca_path=/x", "ssl_ca_path"),
        ("rediss://h?ssl_min_version=772", "ssl_min_version"),
    ],
)
async def test_redis_cluster_clients_name_unsupported_options(client, url, reason):
    with pytest.raises(RedisUrlError, match=reason):
        CLIENTS[client](url)


@pytest.mark.parametrize("client", ["users", "users of a cluster", "loader"])
async def test_redis_clients_missing_certificate_file_is_refused(client):
    with pytest.raises(RedisUrlError, match="No such file"):
        CLIENTS[client]("rediss://h?ssl_ca_certs=/nowhere.pem")


def test_redis_address_tls_options_reach_the_context():
    options = "ssl_cert_reqs=none&ssl_min_version=772"
    context = parse_redis_url(f"rediss://h?{options}").build_tls_context()
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
