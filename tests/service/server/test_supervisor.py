"""Artifacts of several workers: an order reaches one and says so, a signal reaches all."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from service.artifacts.rollout import ArtifactRollout
from service.artifacts.stores import StoreFactories
from service.features.memory_user_store import MemoryUserStore
from service.inference.artifact_reader import Artifact
from service.rerank.artifact_slot import ArtifactSlot
from service.rerank.interfaces import UserStore
from tests.service.server.test_process import ADMIN, BUSY, copy_as, point
from tests.service.serving import Serving, free_ports

ARTIFACTS = ("one", "two", "three")


@pytest.fixture
def root(artifact_folder: Path, tmp_path: Path) -> Path:
    for name in ARTIFACTS:
        copy_as(artifact_folder, tmp_path, name)
    point(tmp_path, "one")
    return tmp_path


@pytest.mark.slow
def test_an_order_reaches_one_worker_and_says_which_and_a_signal_makes_them_one_again(
    root: Path, artifact: Artifact
) -> None:
    metrics_port, admin_port = free_ports(2), free_ports(2)
    settings = BUSY | {
        "workers": 2,
        "metrics_port": metrics_port,
        "admin_port": admin_port,
        "admin_token": ADMIN,
    }
    head = {"authorization": f"Bearer {ADMIN}"}

    def serving_names() -> list[str]:
        """What each worker's metrics say that it serves."""
        texts = [httpx.get(f"http://127.0.0.1:{metrics_port + i}/metrics").text for i in range(2)]
        found = [
            [n for n in ARTIFACTS if f'artifact="current",name="{n}"' in text] for text in texts
        ]
        return [name for [name] in found]

    with Serving(root, **settings) as serving:
        for _ in range(2):
            serving.wait_for("ready")
        point(root, "two")
        address = f"http://127.0.0.1:{admin_port + 1}/admin/artifact"
        told = httpx.post(address, json={}, headers=head, timeout=30.0).json()
        apart = serving_names()
        point(root, "three")
        serving.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while serving_names() != ["three", "three"]:
            assert time.monotonic() < until, serving_names()

    assert told == {"artifact": "two", "previous": "one", "worker": 1, "workers": 2}
    assert apart == ["one", "two"]


async def test_a_signal_that_comes_during_a_load_is_done_after_it_and_three_are_one(
    root: Path,
) -> None:
    loop = asyncio.get_running_loop()
    models, opened, later = ArtifactSlot(), list[str](), list[asyncio.Task[None]]()
    asked = threading.Event()

    def ask_again() -> None:
        later.extend(loop.create_task(rollout.reload_queued()) for _ in range(3))
        loop.call_soon(asked.set)

    def open_store(schema_hash: str) -> UserStore:
        """The last step of a load: the first one has read its artifact, the link moves on."""
        opened.append(schema_hash)
        if len(opened) == 1:
            point(root, "two")
            loop.call_soon_threadsafe(ask_again)
            assert asked.wait(5.0)
        return MemoryUserStore({}, schema_hash=schema_hash)

    stores = StoreFactories(open_store, None)
    rollout = ArtifactRollout(root, models, stores, max_candidates=50, close_delay_s=0.0)
    await rollout.reload()
    await asyncio.gather(*later)

    assert rollout.names() == ("two", "one")
    assert len(opened) == 2
    await rollout.close()
