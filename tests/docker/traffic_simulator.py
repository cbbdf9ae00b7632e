"""Callers of a running service who do everything that a metric, panel or alert speaks of.

Used by the tests of metrics and dashboards, and to rehearse a real run for the pictures.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import httpx

from service.features.embedded_redis import EmbeddedRedis
from tests.redis_fixtures import pause_redis, resume_redis

RequestBody = dict[str, Any]
JSON_HEADERS = {"content-type": "application/json"}
DISCONNECT_AFTER_S = 0.02
TINY_BUDGET_ROUNDS = 2  # requests of every user with no time at all
BATCH_BURSTS = 4  # times that a crowd asks for the same
HEADS_SENT_S = 0.5  # of a crowd; a body may take four times as long
UNSEEN_LIST_LENGTH = 1  # training saw longer lists only


@dataclass(slots=True)
class TrafficSimulator:
    """Requests of known users to one service, and everything that may be wrong with one.

    bodies: right requests of users that the store knows.  cap: a field that rules may count.
    refill: puts the users back into a store that was restarted.
    """

    url: str
    bodies: Sequence[RequestBody]
    cap_field: str
    store: EmbeddedRedis
    refill: Callable[[], None]
    rng: random.Random
    statuses: Counter[int] = field(default_factory=Counter)

    def body(self, **changes: Any) -> RequestBody:
        """A right request of a known user."""
        return copy.deepcopy(self.rng.choice(self.bodies)) | {"explain": False} | changes

    async def send(self, client: httpx.AsyncClient, body: RequestBody | bytes) -> None:
        """One request, whatever comes of it."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        got = await client.post(f"{self.url}/rerank", content=raw, headers=JSON_HEADERS)
        self.statuses[got.status_code] += 1

    def weighted_bodies(self) -> dict[str, tuple[float, RequestBody]]:
        """Right requests of every kind, each with its weight in usual traffic."""
        unknown = self.body()
        unknown["candidates"] = {"item_id": [*_ids(unknown), "no-such-item"]}
        return {
            "plain": (15.0, self.body(num_lists=self.rng.choice((4, 8, 8, 16)))),
            "rules": (2.0, self.body(constraints={"caps": [{"field": self.cap_field, "max": 6}]})),
            "explained": (1.0, self.body(explain=True)),
            "stranger": (1.0, self.body(user_id=f"stranger-{self.rng.random()}")),
            "unknown item": (1.0, unknown),
        }

    async def send_typical(self, client: httpx.AsyncClient) -> None:
        """Mostly plain requests; some with rules, explained, for strangers or unknown items."""
        weights, bodies = zip(*self.weighted_bodies().values(), strict=True)
        await self.send(client, self.rng.choices(bodies, weights)[0])

    async def send_open_loop(self, client: httpx.AsyncClient, rate: float, seconds: float) -> None:
        """Usual requests at random moments, however slow the answers are."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            while loop.time() < until:
                group.create_task(self.send_typical(client))
                await asyncio.sleep(self.rng.expovariate(rate))

    async def send_each_kind(self, client: httpx.AsyncClient) -> None:
        """Every kind of usual request once."""
        for _, body in self.weighted_bodies().values():
            await self.send(client, body)

    async def send_unseen_list_sizes(self, client: httpx.AsyncClient) -> None:
        """A length that training never saw, often enough for some to be the candidate's."""
        for _ in range(6):
            await self.send(client, self.body(list_size=UNSEEN_LIST_LENGTH))

    async def send_tiny_budgets(self, client: httpx.AsyncClient) -> None:
        """Budgets from hopeless to tight: input order, fewer lists, no explanation."""
        for _, body in product(
            range(TINY_BUDGET_ROUNDS), self.bodies
        ):  # so that both artifacts meet some
            await self.send(client, {**body, "budget_ms": 1, "num_lists": 64, "explain": True})
        for budget_ms in (4, 6, 9):
            await self.send(client, self.body(budget_ms=budget_ms, num_lists=64, explain=True))

    async def send_invalid(self, client: httpx.AsyncClient) -> None:
        """Requests that are refused, each for another reason."""
        await self.send(client, b"{")
        await self.send(client, self.body(list_size=0))
        await self.send(client, self.body(context={"no such field": "x"}))
        await self.send(client, self.body(num_lists=1000))
        await client.get(f"{self.url}/nowhere")

    async def send_overload(self, client: httpx.AsyncClient, size: int) -> None:
        """Many at the same time, more than there are places, so that some are sent away.

        Their bodies come when all heads have: until then those with a place keep it, however fast
        the service is beside this client.
        """
        for _ in range(
            BATCH_BURSTS
        ):  # some of those inside at the same time share runs of the graphs
            alike = self.body(num_lists=32)
            await asyncio.gather(*(self.send(client, alike) for _ in range(size)))
        before, heads_are_there = self.statuses[429], asyncio.Event()

        async def late(raw: bytes) -> None:
            async def body() -> AsyncIterator[bytes]:
                await heads_are_there.wait()
                yield raw

            headers = JSON_HEADERS | {"content-length": str(len(raw))}
            got = await client.post(f"{self.url}/rerank", content=body(), headers=headers)
            self.statuses[got.status_code] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(size):
                group.create_task(late(json.dumps(self.body()).encode()))
            await asyncio.sleep(HEADS_SENT_S)
            heads_are_there.set()
        if self.statuses[429] == before:
            raise AssertionError(f"{size} requests at the same time, and none was sent away")

    async def disconnect_early(self, client: httpx.AsyncClient) -> None:
        """A caller that does not wait for the answer; the store is to be slow meanwhile."""
        try:
            await asyncio.wait_for(self.send(client, self.body()), DISCONNECT_AFTER_S)
        except TimeoutError:
            self.statuses[0] += 1

    async def run_store_outage(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """The store is slow, then gone, then back."""
        pause_redis(self.store)
        try:
            await meanwhile()
        finally:
            resume_redis(self.store)
        await asyncio.to_thread(self.store.stop)
        try:
            await meanwhile()
        finally:
            await asyncio.to_thread(self.store.start)
            await asyncio.to_thread(self.refill)

    async def run_all(self, client: httpx.AsyncClient, crowd: int) -> None:
        """One round of all of it."""
        for _ in range(4):
            await self.send_each_kind(client)
        await self.send_unseen_list_sizes(client)
        await self.send_tiny_budgets(client)
        await self.send_invalid(client)
        await self.send_overload(client, crowd)

        async def meanwhile() -> None:
            await self.disconnect_early(client)
            for _ in range(4):
                await self.send_typical(client)

        await self.run_store_outage(meanwhile)


def _ids(body: RequestBody) -> list[str]:
    """Item ids of a body in rows or in columns."""
    candidates = body["candidates"]
    if isinstance(candidates, dict):
        return list(candidates["item_id"])
    return [candidate["item_id"] for candidate in candidates]
