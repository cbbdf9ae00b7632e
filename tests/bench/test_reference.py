"""The reference answers as ours does, or the benchmark compares two different things."""

import json

import httpx
import pytest

from model.contract.user_stream import read_users
from service.features.bulk_load import load_users
from service.features.connection import open_bulk_client
from service.features.memory_store import MemoryUserStore
from service.inference.artifact import read_artifact
from service.inference.worker import ThreadWorker
from tests.artifacts import tiny_artifact
from tests.bench.bodies import FORMS, make_bodies, read_logged
from tests.bench.reference import build
from tests.redis_fixture import redis_server, shared_redis
from tests.service.asking import ask, model_of, reranker_of, served_ids

__all__ = ["redis_server", "shared_redis"]
REQUESTS = 24


@pytest.fixture(scope="module", params=["nlgr", "pair"])  # only the second one is refined
def folder(tmp_path_factory, request):
    return tiny_artifact(tmp_path_factory.mktemp("artifact"), request.param)


async def answers_of_the_reference(folder, url, bodies):
    app = build(folder, url, threads=1)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://reference") as client:
        got = [await client.post("/rerank", content=body, headers=JSON) for body in bodies]
    assert {answer.status_code for answer in got} == {200}, got[0].text
    return [answer.json() for answer in got]


JSON = {"content-type": "application/json"}


async def answers_of_ours(folder, users, bodies):
    artifact = read_artifact(folder)
    store = MemoryUserStore(dict(users), schema_hash=artifact.manifest.schema_hash)
    worker = ThreadWorker()
    try:
        reranker = reranker_of(model_of(artifact, store), worker)
        return [await ask(reranker, json.loads(body)) for body in bodies]
    finally:
        worker.close()


@pytest.mark.redis
@pytest.mark.parametrize("form", FORMS)
async def test_the_reference_serves_the_same_list_as_ours_for_the_same_request(
    folder, redis_server, form
):
    handover = folder.parent / "handover"
    users = list(read_users(handover / "users.bin"))
    known, unknown = users[: len(users) // 2], users[len(users) // 2 :]
    with open_bulk_client(redis_server.url, cluster=False) as client:
        load_users(client, known, prefix="relist", ttl_s=None, progress=lambda _: None)
    logged = read_logged(handover / "requests.jsonl")
    bodies = make_bodies(logged, candidates=30, lists=8, form=form)[:REQUESTS]
    asked = {json.loads(body)["user_id"] for body in bodies}
    assert asked & {u for u, _ in known}
    assert asked & {u for u, _ in unknown}

    theirs = await answers_of_the_reference(folder, redis_server.url, bodies)
    ours = await answers_of_ours(folder, known, bodies)

    assert [served_ids(a) for a in theirs] == [served_ids(a) for a in ours]
    assert [a["reward"] for a in theirs] == pytest.approx([a["reward"] for a in ours], abs=1e-5)
    assert any(a["reward"] > a["input_reward"] for a in ours)  # some list was really chosen


def test_rows_and_columns_say_the_same(folder):
    logged = read_logged(folder.parent / "handover" / "requests.jsonl")
    columns, rows = (make_bodies(logged, candidates=20, lists=3, form=form)[0] for form in FORMS)
    by_column, by_row = json.loads(columns)["candidates"], json.loads(rows)["candidates"]

    assert [row["item_id"] for row in by_row] == by_column["item_id"]
    assert [row["score"] for row in by_row] == by_column["score"]
    for name, column in by_column["features"].items():
        assert [row["features"][name] for row in by_row] == column
