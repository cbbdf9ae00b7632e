"""The shared connection itself: replies in pieces, dead connections, passwords, databases, TLS."""

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress

import pytest
import trustme
from redis import Redis
from redis.exceptions import InvalidResponse, ResponseError

from service.features.embedded_redis import LOOPBACK_HOST
from service.features.pipelined_redis_reader import PipelinedRedisReader
from tests.redis_fixtures import send_inline_command
from tests.service.features.loopback_servers import loopback_server

AMPLE_S, BUDGET_S = 2.0, 0.03
ASKED = b"*2\r\n$3\r\nGET\r\n$1\r\n%b\r\n"
REPLY = {
    b"a": b"$3\r\nA\r\n\r\n",
    b"b": b"$-1\r\n",
    b"c": b"-WRONGTYPE no\r\n",
    b"d": b"$0\r\n\r\n",
}
WORTH = {"a": b"A\r\n", "b": None, "d": b""}  # a value may hold what ends a reply


@asynccontextmanager
async def reading(url, **options):
    reader = PipelinedRedisReader(url, **options)
    try:
        yield reader
    finally:
        await reader.close()


@pytest.mark.parametrize("piece", [1, 3, 1000])
async def test_redis_reader_split_replies_reach_their_commands(piece):
    async def answer_all_at_last(reader, writer):
        wanted = [ASKED % key for key in REPLY] + [ASKED % b"a"]
        assert await reader.readexactly(sum(map(len, wanted))) == b"".join(wanted)
        sent = b"".join([*REPLY.values(), REPLY[b"a"]])
        for at in range(0, len(sent), piece):
            writer.write(sent[at : at + piece])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with loopback_server(answer_all_at_last) as url, reading(url) as reader:
        asked = [reader.get(key, AMPLE_S) for key in ("a", "b", "c", "d", "a")]
        a, b, c, d, again = await asyncio.gather(*asked, return_exceptions=True)

    assert [a, b, d, again] == [WORTH["a"], WORTH["b"], WORTH["d"], WORTH["a"]]
    assert isinstance(c, ResponseError)


@pytest.mark.parametrize("babble", [b"?3\r\n", b"$x\r\n", b"x" * 5000, b"$1\r\nA\r\n+extra\r\n"])
async def test_redis_reader_unsolicited_bytes_replace_the_connection(
    babble,
):
    met = []

    async def first_babbles(reader, writer):
        met.append(1)
        await reader.read(100)
        writer.write(babble if len(met) == 1 else REPLY[b"a"])
        await reader.read()

    async with loopback_server(first_babbles) as url, reading(url, reconnect_pause_s=0.0) as reader:
        with suppress(InvalidResponse):  # in the last case its own reply was right
            assert await reader.get("a", AMPLE_S) == b"A"
        for _ in range(3):
            await asyncio.sleep(0)
        assert await reader.get("a", AMPLE_S) == WORTH["a"]
    assert len(met) == 2


async def test_redis_reader_stalled_connection_is_replaced():
    met = []

    async def first_is_silent(reader, writer):
        met.append(1)
        silent = len(met) == 1
        while sent := await reader.read(100):
            if not silent:
                writer.write(REPLY[b"a"] * sent.count(b"GET"))

    options = {"stall_timeout_s": 2.5 * BUDGET_S, "reconnect_pause_s": 0.0}
    async with loopback_server(first_is_silent) as url, reading(url, **options) as reader:
        for _ in range(3):  # the last of them knows, and the next connects anew
            assert len(met) < 2
            with pytest.raises(TimeoutError):
                await reader.get("a", BUDGET_S)
        assert await reader.get("a", AMPLE_S) == WORTH["a"]
    assert len(met) == 2


async def test_redis_reader_slow_server_drops_the_backlog():
    met, backlog, each_s, budget_s = [], 300, 0.01, 0.1

    async def slow(reader, writer):
        met.append(1)
        while sent := await reader.read(65536):
            for _ in range(sent.count(b"GET")):
                await asyncio.sleep(each_s)
                writer.write(REPLY[b"a"])

    async with loopback_server(slow) as url, reading(url, stall_timeout_s=1.5 * budget_s) as reader:
        flood = [reader.get("a", budget_s) for _ in range(backlog)]
        ended = await asyncio.gather(*flood, return_exceptions=True)
        assert any(isinstance(end, TimeoutError) for end in ended)
        answers: list[object] = []
        while b"A\r\n" not in answers:
            # left to answer all of it, nobody would be answered in time for 3 s
            assert len(answers) < backlog * each_s / budget_s / 2
            answers += await asyncio.gather(reader.get("a", budget_s), return_exceptions=True)
    assert len(met) == 2


@pytest.mark.redis
async def test_redis_reader_url_credentials_and_database_are_used(private_redis):
    server = private_redis
    for line in (
        "ACL SETUSER reader on >its-own ~* +get +select +ping",
        "CONFIG SET requirepass secret",
    ):
        assert b"OK" in send_inline_command(server, line)
    with Redis(port=server.port, password="secret", db=3) as client:
        client.set("k", b"of three")
    where = f"{LOOPBACK_HOST}:{server.port}"
    for url in (f"redis://:secret@{where}/3", f"redis://reader:its-own@{where}/3"):
        async with reading(url) as reader:
            assert await reader.get("k", AMPLE_S) == b"of three"
            await reader.ping(AMPLE_S)
    for url in (f"redis://:wrong@{where}/3", f"redis://{where}/3"):
        async with reading(url) as reader:
            with pytest.raises(ResponseError):
                await reader.get("k", AMPLE_S)


async def answer(reader, writer):
    while await reader.read(100):
        writer.write(REPLY[b"a"])


async def test_redis_reader_unix_socket_is_read(tmp_path):
    async with loopback_server(answer, path=tmp_path / "r.sock") as url, reading(url) as reader:
        assert await reader.get("a", AMPLE_S) == WORTH["a"]


async def test_redis_reader_untrusted_certificate_is_rejected(
    tmp_path,
):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    known = f"?ssl_ca_certs={tmp_path}/ca.pem"

    async with loopback_server(answer, tls=context) as url:
        async with reading(url + known) as reader:
            assert await reader.get("a", AMPLE_S) == WORTH["a"]
        for refused in (
            url,
            url.replace("localhost", LOOPBACK_HOST) + known,
        ):  # a name it does not have
            async with reading(refused) as reader:
                with pytest.raises(ssl.SSLCertVerificationError):
                    await reader.get("a", AMPLE_S)
