"""What breaks around a running service, and what callers then see: never a 5xx, never a hang."""

import asyncio
import json
import random
import time
from collections import Counter

import httpx
import pytest
import redis

from model.contract.store.user_record import user_redis_key
from tests.redis_fixtures import pause_redis, resume_redis
from tests.service.asking import USER, body_of, served_ids, user_blob
from tests.service.serving import Serving

pytestmark = [pytest.mark.redis]


def fill(server, artifact) -> None:
    with redis.Redis(port=server.port) as client:
        client.set(user_redis_key("relist", USER), user_blob(artifact))


def settings_of(server, **more):
    return {
        "redis_url": f"redis://127.0.0.1:{server.port}",
        "request_budget_ms": 900,
        "feature_budget_ms": 50,
    } | more


def degraded(client: httpx.Client, body: dict[str, object]) -> list[str]:
    got = client.post("/rerank", json=body)
    assert got.status_code == 200, got.text
    candidates = body["candidates"]["item_id"]  # type: ignore[index]  # a body of ours
    served = served_ids(got.json())
    assert len(set(served)) == len(served)
    assert set(served) <= set(candidates)
    return got.json()["degraded"]


def until(check, seconds: float = 5.0) -> None:
    """Wait until a condition of another process holds."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def test_redis_paused_killed_and_back_costs_the_users_features_only_while_it_lasts(
    artifact_folder, artifact, private_redis
):
    store, body = private_redis, body_of(artifact)
    fill(store, artifact)
    with Serving(artifact_folder, **settings_of(store)) as serving:
        with serving.ready().client() as client:
            assert degraded(client, body) == []
            pause_redis(store)
            began = time.monotonic()
            assert degraded(client, body) == ["user_features"]
            assert time.monotonic() - began < 0.5
            assert client.get("/health/ready").status_code == 200
            resume_redis(store)
            until(lambda: degraded(client, body) == [])
            store.stop()
            assert degraded(client, body) == ["user_features"]
            store.start()
            fill(store, artifact)
            until(lambda: degraded(client, body) == [])
        assert serving.metric('rerank_store_seconds_count{outcome="timeout"}') >= 1
        assert serving.metric('rerank_store_seconds_count{outcome="down"}') >= 1
        assert (
            serving.metric('rerank_degraded_total{artifact="current",reason="user_features"}') >= 2
        )


@pytest.mark.parametrize("stored", ["a list", b"RL", b"", b"\x00" * 200])
def test_bytes_that_are_no_record_cost_the_users_features(
    artifact_folder, artifact, redis_server, stored, serving_with_redis
):
    key = user_redis_key("relist", "odd")
    with redis.Redis(port=redis_server.port) as client:
        if stored == "a list":
            client.rpush(key, "x")
        else:
            client.set(key, stored)

    with serving_with_redis.client() as client:
        assert degraded(client, body_of(artifact, user_id="odd")) == ["user_features"]


@pytest.fixture(scope="module")
def serving_with_redis(artifact_folder, shared_redis):
    with Serving(artifact_folder, **settings_of(shared_redis)) as serving:
        yield serving.ready()


@pytest.mark.slow
def test_ten_thousand_broken_bodies_get_ten_thousand_4xx(artifact, serving_with_redis):
    rng = random.Random(3)
    whole = json.dumps(body_of(artifact)).encode()

    def spoiled() -> bytes:
        raw = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            how, at = rng.randrange(3), rng.randrange(len(raw))
            if how == 0:
                raw[at] = rng.randrange(256)
            elif how == 1:
                del raw[at : at + rng.randint(1, 40)]
            else:
                raw[at:at] = rng.choice([b"null", b"[", b"1e999", b'"', b"\\u0000", b"-", b"{}"])
        return bytes(raw)

    statuses: Counter[int] = Counter()
    headers = {"content-type": "application/json"}
    with serving_with_redis.client(headers=headers) as client:
        for _ in range(10_000):
            statuses[client.post("/rerank", content=spoiled()).status_code] += 1
        assert degraded(client, body_of(artifact)) in ([], ["user_features"])

    assert set(statuses) <= {200, 400, 422}
    assert statuses[400] + statuses[422] > 9_000


@pytest.mark.parametrize(
    "overload_s",
    [pytest.param(10.0, marks=pytest.mark.slow), pytest.param(60.0, marks=pytest.mark.soak)],
)
def test_five_times_too_much_is_refused_with_429_and_afterwards_latency_is_as_before(
    artifact_folder, artifact, overload_s
):
    body = body_of(artifact, num_lists=64)
    offered = set(body["candidates"]["item_id"])
    settings = {"max_inflight": 4, "max_waiting": 8, "request_budget_ms": 200}

    async def callers(url: str, count: int, seconds: float) -> tuple[Counter[int], list[float]]:
        statuses: Counter[int] = Counter()
        times: list[float] = []
        end = time.monotonic() + seconds

        async def one(client: httpx.AsyncClient) -> None:
            while time.monotonic() < end:
                began = time.monotonic()
                got = await client.post("/rerank", json=body)
                times.append(time.monotonic() - began)
                statuses[got.status_code] += 1
                if got.status_code == 429:
                    assert got.headers["retry-after"] == "1"
                    assert got.json()["error"]["code"] == "overloaded"
                    await asyncio.sleep(0.01)
                else:
                    served = served_ids(got.json())
                    assert len(set(served)) == len(served)
                    assert set(served) <= offered

        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=url, timeout=10.0, limits=limits) as client:
            await asyncio.gather(*(one(client) for _ in range(count)))
        return statuses, times

    def median(times: list[float]) -> float:
        return sorted(times)[len(times) // 2]

    with Serving(artifact_folder, **settings) as serving:
        url = serving.ready().url
        _, before = asyncio.run(callers(url, 1, 1.0))
        statuses, _ = asyncio.run(callers(url, 60, overload_s))
        _, after = asyncio.run(callers(url, 1, 2.0))
        assert serving.metric("rerank_in_flight_requests") == 0

    assert set(statuses) == {200, 429}
    assert statuses[200] > 50
    assert median(after[len(after) // 2 :]) < 3 * median(before)
