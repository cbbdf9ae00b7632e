"""Whatever goes wrong, at the most talkative level: no user, token or trace of a stack leaves."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from service.features.embedded_redis import EmbeddedRedis
from service.inference.artifact_reader import Artifact
from tests.redis_fixtures import pause_redis, resume_redis
from tests.service.asking import body_of
from tests.service.serving import Serving

TOKEN, ADMIN = "a-token-that-is-secret", "an-admins-token-secret"
USER = "user-7f3a-secret"
SECRETS = (TOKEN, ADMIN, USER, "Traceback")

pytestmark = pytest.mark.redis


def bodies(artifact: Artifact) -> list[bytes]:
    """Right ones, and wrong ones that carry the user's id where the wrong is."""
    good = body_of(artifact, user_id=USER, budget_ms=200)
    wrong = [
        good | {"user_id": USER * 100},
        good | {"user_id": [USER]},
        good | {"context": {"device": [USER]}},
        good | {"num_lists": 10_000},
        good | {"list_size": USER},
        good | {"budget_ms": 1},
        good | {"constraints": {"exclude": good["candidates"]["item_id"]}},
    ]
    raw = [json.dumps(body).encode() for body in (good, good, *wrong)]
    return [*raw, raw[0][:-1], b"[" * 5000 + USER.encode()]


def test_logs_under_faults_contain_no_user_or_token(
    artifact_folder, artifact: Artifact, private_redis: EmbeddedRedis
) -> None:
    settings = {
        "redis_url": private_redis.url,
        "api_tokens": json.dumps([TOKEN]),
        "admin_token": ADMIN,
        "log_level": "debug",
        "max_inflight": 2,
        "max_waiting": 2,
    }
    sent = bodies(artifact)
    statuses: set[int] = set()
    texts: list[str] = []

    async def ask(client: httpx.AsyncClient, raw: bytes, token: str) -> None:
        head = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        got = await client.post("/rerank", content=raw, headers=head)
        statuses.add(got.status_code)
        texts.append(got.text)

    async def crowd(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=20.0) as client:
            for token in (TOKEN, ADMIN, TOKEN + "x"):
                await asyncio.gather(*(ask(client, raw, token) for raw in sent * 3))
            for raw in sent:
                await ask(client, raw, TOKEN)

    with Serving(artifact_folder, **settings) as serving:
        serving.ready()
        asyncio.run(crowd(serving.url))
        pause_redis(private_redis)
        asyncio.run(crowd(serving.url))
        resume_redis(private_redis)
        head = {"authorization": f"Bearer {ADMIN}"}
        httpx.post(f"{serving.url}/admin/artifact", json={"action": USER}, headers=head)
        texts.append(httpx.get(f"{serving.url}/metrics").text)
        log = serving.logged()

    assert {200, 400, 401, 422, 429} <= statuses
    assert "features_unavailable" in log  # it was talkative
    for secret in SECRETS:
        assert secret not in log
        assert not [text for text in texts if secret in text]
