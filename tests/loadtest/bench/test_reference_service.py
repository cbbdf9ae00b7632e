"""The reference and the mosec worker answer as the service does."""

import json

import httpx
import pytest

from loadtest.bench.machine import first_two_cores
from loadtest.bench.measured_services import start_mosec
from loadtest.bench.mosec_service import MAX_BATCH_SIZE, MosecReranker
from loadtest.bench.mosec_variables import ARTIFACT_VARIABLE, REDIS_VARIABLE
from loadtest.bench.reference_service import build_reference_app
from loadtest.bench.request_bodies import WIRE_FORMS, build_bodies, read_bench_requests
from model.contract.store.user_stream import read_user_stream
from service.features.bulk_load import write_users_to_redis
from service.features.memory_user_store import MemoryUserStore
from service.features.redis_clients import open_sync_redis_client
from service.inference.artifact_reader import read_artifact
from service.inference.thread_executor import ThreadExecutor
from tests.redis_fixtures import redis_server, shared_redis
from tests.service.asking import ask, model_of, reranker_of, served_ids
from tests.tiny_artifact import tiny_artifact

__all__ = ["redis_server", "shared_redis"]
REQUEST_COUNT = 24


@pytest.fixture(scope="module", params=["nlgr", "pair"])  # only the second one is refined
def folder(tmp_path_factory, request):
    return tiny_artifact(tmp_path_factory.mktemp("artifact"), request.param)


async def reference_responses(folder, url, bodies):
    app = build_reference_app(folder, url, threads=1)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://reference") as client:
        got = [
            await client.post("/rerank", content=body, headers=CONTENT_TYPE_JSON) for body in bodies
        ]
    assert {answer.status_code for answer in got} == {200}, got[0].text
    return [answer.json() for answer in got]


CONTENT_TYPE_JSON = {"content-type": "application/json"}


async def service_responses(folder, users, bodies):
    artifact = read_artifact(folder)
    store = MemoryUserStore(dict(users), schema_hash=artifact.manifest.schema_hash)
    worker = ThreadExecutor()
    try:
        reranker = reranker_of(model_of(artifact, store), worker)
        return [await ask(reranker, json.loads(body)) for body in bodies]
    finally:
        worker.close()


def mosec_responses(folder, url, bodies, monkeypatch):
    """Responses of the worker to batches of up to 8, without mosec's HTTP server."""
    monkeypatch.setenv(ARTIFACT_VARIABLE, str(folder))
    monkeypatch.setenv(REDIS_VARIABLE, url)
    worker = MosecReranker()
    requests = [worker.deserialize(body) for body in bodies]
    responses = []
    for first in range(0, len(requests), MAX_BATCH_SIZE):
        responses += worker.forward(requests[first : first + MAX_BATCH_SIZE])
    worker.store.close()
    return [json.loads(worker.serialize(response)) for response in responses]


@pytest.mark.redis
@pytest.mark.parametrize("form", WIRE_FORMS)
async def test_references_serve_same_list_as_service(folder, redis_server, form, monkeypatch):
    bundle = folder.parent / "handover"
    users = list(read_user_stream(bundle / "users.bin"))
    known, unknown = users[: len(users) // 2], users[len(users) // 2 :]
    with open_sync_redis_client(redis_server.url, cluster=False) as client:
        write_users_to_redis(client, known, prefix="relist", ttl_s=None, on_progress=lambda _: None)
    logged = read_bench_requests(bundle / "requests.jsonl")
    bodies = build_bodies(logged, candidates=30, lists=8, form=form)[:REQUEST_COUNT]
    bodies[1] = build_bodies(logged, candidates=20, lists=3, form=form)[1]  # of another size
    user_ids = {json.loads(body)["user_id"] for body in bodies}
    assert user_ids & {u for u, _ in known}
    assert user_ids & {u for u, _ in unknown}

    service = await service_responses(folder, known, bodies)
    reference = await reference_responses(folder, redis_server.url, bodies)
    mosec = mosec_responses(folder, redis_server.url, bodies, monkeypatch)

    for other in (reference, mosec):
        assert [served_ids(r) for r in other] == [served_ids(r) for r in service]
        rewards = [r["reward"] for r in service]
        assert [r["reward"] for r in other] == pytest.approx(rewards, abs=1e-5)
    assert any(r["reward"] > r["input_reward"] for r in service)


@pytest.mark.redis
async def test_mosec_service_answers_over_http(folder, redis_server):
    cores = first_two_cores()
    logged = read_bench_requests(folder.parent / "handover" / "requests.jsonl")
    body = build_bodies(logged, candidates=20, lists=3, form="columns")[0]
    with start_mosec(folder, redis_server.url, {cores[0]}) as service:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{service.port}") as client:
            response = await client.post("/rerank", content=body, headers=CONTENT_TYPE_JSON)
            refused = await client.post("/rerank", content=b"{}", headers=CONTENT_TYPE_JSON)
    assert response.status_code == 200
    assert response.json()["degraded"] == []
    assert refused.status_code == 422


def test_reference_rows_and_columns_give_equal_answers(folder):
    logged = read_bench_requests(folder.parent / "handover" / "requests.jsonl")
    columns, rows = (
        build_bodies(logged, candidates=20, lists=3, form=form)[0] for form in WIRE_FORMS
    )
    by_column, by_row = json.loads(columns)["candidates"], json.loads(rows)["candidates"]

    assert [row["item_id"] for row in by_row] == by_column["item_id"]
    assert [row["score"] for row in by_row] == by_column["score"]
    for name, column in by_column["features"].items():
        assert [row["features"][name] for row in by_row] == column
