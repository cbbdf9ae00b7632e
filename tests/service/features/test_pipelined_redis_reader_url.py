"""The address of Redis: read once, at the start, where what cannot be used stops it."""

import ssl
import traceback

import pytest

from service.features.pipelined_redis_reader import PipelinedRedisReader
from tests.service.features.loopback_servers import loopback_server

AMPLE_S = 2.0


async def hang_up(reader, writer):
    pass


async def test_redis_reader_loads_certificates_once(monkeypatch):
    built, build = [], ssl.create_default_context

    def counted():
        built.append(1)
        return build()

    monkeypatch.setattr(ssl, "create_default_context", counted)
    async with loopback_server(hang_up) as url:  # no TLS there
        reader = PipelinedRedisReader(url.replace("redis://", "rediss://"), reconnect_pause_s=0.0)
        for _ in range(5):
            with pytest.raises((ConnectionError, ssl.SSLError)):
                await reader.get("a", AMPLE_S)
        await reader.close()
    assert len(built) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rediss://h?ssl_validate_ocsp=true", "ssl_validate_ocsp"),
        ("rediss://h?ssl_ca_certs=/nowhere.pem", "No such file"),
        ("rediss://h?ssl_cert_reqs=some", "some"),
        ("rediss://h?ssl_min_version=7", "7"),
        ("redis://:pass/word@h", "percent-encoded"),
        ("redis://h:x", "number"),
        ("redis://h?db=x", "number"),
    ],
)
def test_redis_reader_invalid_url_raises_without_password(url, said):
    with pytest.raises(ValueError, match=said) as refused:
        PipelinedRedisReader(url)
    shown = "".join(traceback.format_exception(refused.value))
    assert "'pass'" not in shown
