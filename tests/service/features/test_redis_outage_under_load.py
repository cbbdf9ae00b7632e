"""Redis paused, killed and restarted under load: every answer is accounted for."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import redis

from model.contract.store.user_record import user_redis_key
from service.features.embedded_redis import EmbeddedRedis
from service.inference.artifact_reader import Artifact
from tests.redis_fixtures import pause_redis, resume_redis
from tests.service.asking import body_of, served_ids, user_blob
from tests.service.serving import Serving

CALLERS, CONNECTIONS = 12, 4  # more callers than connections: some wait for one
USERS = [f"caller-{n}" for n in range(CALLERS)]
BUDGET_MS, STORE_MS = 1000, 100  # a busy machine is no fault of the store
AWAY_S, BACK_S = 1.5, 10.0

pytestmark = [pytest.mark.redis, pytest.mark.slow]


class Seen(NamedTuple):
    """One answer: what Redis went through meanwhile, and what came."""

    phase: str
    status: int
    body: dict[str, Any]


class Crowd:
    """Callers that ask one request after another, each for a user of its own."""

    def __init__(self, url: str, artifact: Artifact) -> None:
        self.phase, self.seen, self.over = "before", list[Seen](), False
        self._url, self._artifact = url, artifact

    async def ask_on(self) -> None:
        """All callers, until it is over; an error of transport ends the test."""
        limits = httpx.Limits(max_connections=CALLERS)
        async with httpx.AsyncClient(base_url=self._url, timeout=10.0, limits=limits) as client:
            await asyncio.gather(*(self._one(client, user) for user in USERS))

    async def _one(self, client: httpx.AsyncClient, user: str) -> None:
        body = body_of(self._artifact, user_id=user, budget_ms=BUDGET_MS)
        while not self.over:
            began = self.phase
            got = await client.post("/rerank", json=body)
            # a request during which Redis came or went belongs to no phase
            phase = began if began == self.phase else "between"
            self.seen.append(Seen(phase, got.status_code, got.json()))

    def of(self, phase: str) -> list[dict[str, Any]]:
        """Answers of one phase."""
        return [seen.body for seen in self.seen if seen.phase == phase]

    async def whole_again(self, phase: str) -> float:
        """Seconds until the last answer of each caller was whole; fails after BACK_S."""
        self.phase, began, first = f"{phase}, healing", time.monotonic(), len(self.seen)
        while True:
            recent = self.seen[max(first, len(self.seen) - CALLERS) :]
            if len(recent) == CALLERS and not any(s.body.get("degraded") for s in recent):
                self.phase = phase
                return time.monotonic() - began
            assert time.monotonic() - began < BACK_S, recent[-3:]
            await asyncio.sleep(0.02)


def fill(server: EmbeddedRedis, artifact: Artifact) -> None:
    with redis.Redis(port=server.port) as client:
        client.mset({user_redis_key("relist", user): user_blob(artifact) for user in USERS})


def connected(server: EmbeddedRedis) -> int:
    """Connections that the server counts, that of the question left out."""
    with redis.Redis(port=server.port) as client:
        return int(client.info("clients")["connected_clients"]) - 1


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def wait_until_halted(pid: int) -> None:
    """Return once a signaled process runs no more: a signal acts some time after it was sent."""
    for _ in range(2500):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return
        if stat.rpartition(")")[2].split()[0] in {"T", "Z", "X"}:
            return
        time.sleep(0.002)
    raise AssertionError(f"process {pid} still runs")


async def ordeal(crowd: Crowd, store: EmbeddedRedis, artifact: Artifact) -> list[int]:
    """Pause and kill the store under the crowd; its connections before and after."""
    counts = []

    async def rest(phase: str) -> None:
        crowd.phase = phase
        await asyncio.sleep(AWAY_S)

    await crowd.whole_again("before")
    await rest("before")
    counts.append(await asyncio.to_thread(connected, store))
    for _ in range(2):
        pause_redis(store)
        await asyncio.to_thread(wait_until_halted, store.pid)
        await rest("paused")
        resume_redis(store)
        await crowd.whole_again("resumed")
    os.kill(store.pid, signal.SIGKILL)
    await asyncio.to_thread(wait_until_halted, store.pid)
    await rest("killed")
    crowd.phase = "restarting"
    await asyncio.to_thread(store.stop)
    await asyncio.to_thread(store.start)
    await asyncio.to_thread(fill, store, artifact)
    await crowd.whole_again("restarted")
    await rest("restarted")
    counts.append(await asyncio.to_thread(connected, store))
    crowd.over = True
    return counts


def test_rerank_redis_outage_under_load_only_degrades(
    artifact_folder: Path, artifact: Artifact, private_redis: EmbeddedRedis
) -> None:
    store = private_redis
    fill(store, artifact)
    settings = {
        "redis_url": store.url,
        "redis_connections": CONNECTIONS,
        "request_budget_ms": BUDGET_MS,
        "feature_budget_ms": STORE_MS,
    }

    async def under_load(url: str) -> tuple[Crowd, list[int]]:
        crowd = Crowd(url, artifact)
        asking = asyncio.create_task(crowd.ask_on())
        try:
            counts = await ordeal(crowd, store, artifact)
        finally:
            crowd.over = True
        await asking
        return crowd, counts

    with Serving(artifact_folder, **settings) as serving:
        serving.ready()
        files = open_files(serving.process.pid)
        crowd, counts = asyncio.run(under_load(serving.url))
        left = open_files(serving.process.pid)
        hits = serving.metric('rerank_store_seconds_count{outcome="hit"}')

    assert {seen.status for seen in crowd.seen} == {200}
    for phase in ("paused", "killed"):
        answers = crowd.of(phase)
        assert len(answers) > CALLERS
        assert {tuple(a["degraded"]) for a in answers} == {("user_features",)}
        spent = [a["timings_ms"]["features"] for a in answers]
        assert statistics.median(spent) < 2 * STORE_MS
    for phase in ("before", "restarted"):
        assert len(crowd.of(phase)) > CALLERS
    for seen in crowd.seen:
        served = served_ids(seen.body)
        assert len(set(served)) == len(served)
        assert set(served) <= set(artifact.items.ids[:12])
        assert seen.body["timings_ms"]["total"] <= BUDGET_MS
    undegraded = [
        body
        for phase in ("before", "restarted")
        for body in crowd.of(phase)
        if not body["degraded"]
    ]
    assert len(undegraded) > CALLERS
    assert hits >= len(undegraded)
    # the pool's, and one that refreshes the item table; no connection of a given-up read stays
    assert all(count <= CONNECTIONS + 1 for count in counts), counts
    assert left <= files + CONNECTIONS + 1 + CALLERS
