"""Replies in random pieces, and random bytes: each command gets its own reply or an error."""

import asyncio
import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, ResponseError

from service.features.pipelined_redis_reader import PipelinedRedisReader
from service.features.redis_connection import RedisConnection, encode_command
from tests.service.features.loopback_servers import loopback_server

AMPLE_S = 5.0
GET = encode_command(b"GET", b"a")
TEXT = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=30)
REPLIES = st.one_of(
    st.binary(max_size=200).map(lambda b: (b"$%d\r\n%b\r\n" % (len(b), b), b)),
    st.just((b"$-1\r\n", None)),
    TEXT.map(lambda text: (b"+%b\r\n" % text.encode(), text.encode())),
    TEXT.map(lambda text: (b"-%b\r\n" % text.encode(), ResponseError)),
)


class DiscardTransport(asyncio.Transport):
    """Drops what is written."""

    def write(self, data):
        pass

    def abort(self):
        pass


def connect():
    connection = RedisConnection(AMPLE_S)
    connection.connection_made(DiscardTransport())
    return connection


def split(data, cuts):
    """The data in pieces that end at these positions."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.lists(REPLIES, min_size=1, max_size=8), st.lists(st.integers(0, 2000), max_size=20))
def test_redis_connection_random_splits_resolve_in_order(replies, cuts):
    async def scenario():
        connection = connect()
        futures = [connection.send(GET, AMPLE_S) for _ in replies]
        for piece in split(b"".join(encoded for encoded, _ in replies), cuts):
            connection.data_received(piece)
        assert not connection.closed
        for future, (_, expected) in zip(futures, replies, strict=True):
            if expected is ResponseError:
                assert isinstance(future.exception(), ResponseError)
            else:
                assert future.result() == expected
        connection.close()

    asyncio.run(scenario())


NOISE = st.sampled_from([b"$", b"+", b"-", b"*", b":", b"\r\n", b"3", b"-1", b"\0"])


@given(
    st.lists(REPLIES, max_size=3),
    st.lists(NOISE | st.binary(max_size=9)),
    st.lists(st.integers(0, 500), max_size=8),
)
def test_redis_connection_random_bytes_only_close_it(replies, noise, cuts):
    async def scenario():
        connection = connect()
        futures = [connection.send(GET, AMPLE_S) for _ in range(4)]
        for piece in split(b"".join([*(r for r, _ in replies), *noise]), cuts):
            connection.data_received(piece)
        if connection.closed:
            errors = [f.exception() for f in futures if f.exception() is not None]
            assert all(isinstance(e, InvalidResponse | ResponseError) for e in errors)
        connection.close()
        assert all(future.done() for future in futures)
        for future in futures:
            future.exception()  # marks it as retrieved

    asyncio.run(scenario())


def echo_server(rng):
    """A handler that answers GET with the key, in random pieces."""

    async def echo(reader, writer):
        while await reader.readline():  # *2, $3, GET, $length, key
            _, _, length = [await reader.readline() for _ in range(3)]
            key = (await reader.readexactly(int(length[1:]) + 2))[:-2]
            reply = b"$%d\r\n%b\r\n" % (len(key), key)
            for piece in split(reply, [rng.randrange(len(reply)) for _ in range(rng.randrange(4))]):
                writer.write(piece)
                await asyncio.sleep(0)

    return echo


async def fetch_and_cancel(reader, rng, count):
    """(key, finished task) of `count` fetches, some of them cancelled at random."""
    fetches = []
    for index in range(count):
        key = f"{index}:" + "x" * rng.randrange(60)
        fetches.append((key, asyncio.ensure_future(reader.get(key, AMPLE_S))))
        if rng.random() < 0.3:
            rng.choice(fetches)[1].cancel()
        if rng.random() < 0.3:
            await asyncio.sleep(0)
    await asyncio.wait([task for _, task in fetches])
    return fetches


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_redis_reader_random_pieces_and_cancels_keep_order(seed, count):
    rng = random.Random(seed)

    async def scenario():
        async with loopback_server(echo_server(rng)) as url:
            reader = PipelinedRedisReader(url)
            fetches = await fetch_and_cancel(reader, rng, count)
            await reader.close()
        for key, task in fetches:
            assert task.cancelled() or task.result() == key.encode()

    asyncio.run(scenario())
