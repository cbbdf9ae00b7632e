"""The reader prepares TLS once, not at each connection."""

import ssl

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
