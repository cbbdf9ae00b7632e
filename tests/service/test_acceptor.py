"""Connections that come many at once: none waits for its turn behind others' graphs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import select
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import uvloop

from service.inference.artifact import Artifact
from service.main import acceptor
from service.main.acceptor import MOST_A_TURN, Acceptor
from tests.service.asking import body_of
from tests.service.serving import Serving
from tests.service.test_protocol import post
from tests.service.wire import WAIT_S

MANY = 6 * MOST_A_TURN


class Noting(asyncio.Protocol):
    """Counts the connections that it was made for."""

    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Noting.made += 1
        transport.close()


@pytest.fixture(autouse=True)
def none_made():
    Noting.made = 0


async def turns_until(made: int) -> int:
    """Turns of the loop until so many connections are open."""
    async with asyncio.timeout(WAIT_S):
        turns = 0
        while Noting.made < made:
            await asyncio.sleep(0)
            turns += 1
    return turns


def test_those_who_wait_are_taken_many_at_a_turn_of_the_loop():
    async def take_all() -> int:
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=MANY))
            for _ in range(MANY):
                stack.enter_context(socket.create_connection(listening.getsockname()))
            taking = Acceptor(listening, Noting)
            turns = await turns_until(MANY)
            await taking.close()
        return turns

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        turns = runner.run(take_all())

    assert turns <= MANY / MOST_A_TURN + 6  # to look, to open the last and to tell it so


class Refusing(socket.socket):
    """A listening socket of a process that has no descriptor left, once."""

    refused = 0

    def accept(self) -> Any:  # as the library's
        self.refused += 1
        if self.refused == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_descriptors_it_tries_again_after_a_pause_instead_of_spinning(monkeypatch):
    monkeypatch.setattr(acceptor, "_PAUSE_S", 0.05)

    async def take() -> tuple[int, int]:
        with Refusing(socket.AF_INET, socket.SOCK_STREAM) as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            with socket.create_connection(listening.getsockname()):
                taking = Acceptor(listening, Noting)
                await asyncio.sleep(0.02)
                tried = listening.refused
                await turns_until(1)
                await taking.close()
            return tried, Noting.made

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(take()) == (1, 1)


def test_who_was_taken_when_it_closes_has_its_protocol_and_who_was_not_waits_on():
    async def close_at_once() -> int:
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=MANY))
            for _ in range(MANY):
                stack.enter_context(socket.create_connection(listening.getsockname()))
            taking = Acceptor(listening, Noting)
            for _ in range(3):  # turns: it looks, and takes the first
                await asyncio.sleep(0)
            await taking.close()
            taken = Noting.made
            await asyncio.sleep(0.02)
            assert Noting.made == taken
            after = Acceptor(listening, Noting)  # as another process that listens
            await turns_until(MANY)
            await after.close()
        return taken

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        taken = runner.run(close_at_once())

    assert 0 < taken < MANY


@pytest.mark.slow
def test_new_connections_meet_the_admission_while_graphs_run_on_the_loop(
    artifact_folder: Path, artifact: Artifact
):
    many, places = 300, 64
    body = artifact_body(artifact)
    answers: Counter[bytes] = Counter()
    with (
        Serving(artifact_folder, inference="loop", max_inflight=16, max_waiting=48) as serving,
        contextlib.ExitStack() as stack,
    ):
        serving.ready()
        waiting: set[socket.socket] = set()
        for _ in range(many):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", serving.port)))
            one.sendall(body)
            waiting.add(one)
        while waiting:
            ready, _, _ = select.select(list(waiting), [], [], WAIT_S)
            assert ready
            for one in ready:
                answers[one.recv(1 << 16)[9:12]] += 1
                waiting.discard(one)

    assert set(answers) == {b"200", b"429"}  # one a turn of the loop, they would all be let in
    assert answers[b"200"] >= places


def artifact_body(artifact: Artifact) -> bytes:
    """A request whose runs take a while."""
    raw = json.dumps(body_of(artifact, num_lists=64, explain=True, budget_ms=200)).encode()
    return post(b"/rerank", raw, b"content-type: application/json\r\n") + raw
