"""A requests file that is missing, empty or broken costs its examples, never the process."""

import json

import pytest

from model.contract.wire.request import parse_request
from service.api.example_requests import ExampleRequests
from tests.service.serving import Serving

IDS = [f"i{n}" for n in range(20)]
GOOD = {"request": {"user_id": "u1", "candidates": {"item_id": ["a", "b"]}}}
BROKEN = {
    "no json": "{",
    "not an object": "[]",
    "no request": "{}",
    "request of another form": '{"request": {"user_id": "u1", "candidates": [{"item_id": "a"}]}}',
    "no valid request": '{"request": {"user_id": "", "candidates": {"item_id": []}}}',
    "no text": "\udcff",
    "broken later": json.dumps(GOOD) + "\n{",
}


@pytest.mark.parametrize("content", [None, "", "\n", *BROKEN.values()], ids=repr)
def test_example_requests_unusable_file_gives_synthetic_request(tmp_path, content):
    path = tmp_path / "requests.jsonl"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    examples = ExampleRequests(path, playground=True)

    examples.publish(IDS)

    assert parse_request(json.dumps(examples.example).encode()).item_ids == IDS[:12]
    assert len(examples.catalog) == 0


def test_example_requests_file_fills_example_and_catalog(tmp_path):
    path = tmp_path / "requests.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n" * 3)
    examples = ExampleRequests(path, playground=True)

    examples.publish(IDS)

    assert examples.example == GOOD["request"]
    assert len(examples.catalog) == 3


def test_process_with_missing_requests_file_serves_and_warns(artifact_folder, tmp_path):
    settings = {"requests_file": tmp_path / "missing.jsonl", "playground": True}
    with Serving(artifact_folder, **settings) as serving:
        serving.wait_for("requests_file_unusable")
        serving.ready()
        with serving.client() as client:
            document = client.get("/openapi.json").json()
            content = document["paths"]["/rerank"]["post"]["requestBody"]["content"]
            example = content["application/json"]["example"]
            assert client.post("/rerank", json=example).status_code == 200
            assert client.get("/playground/users").json() == {"total": 0, "users": []}
