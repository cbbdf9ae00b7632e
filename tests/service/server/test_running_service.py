"""A running service with a real Redis behind it: answers, errors, documents, metrics."""

import contextlib
import json
import re
import socket

import httpx
import pytest
import redis

from model.contract.store.user_record import user_redis_key
from model.contract.wire.response import REQUEST_STAGES, ErrorResponse, RerankResponse
from service.api.errors import error_codes
from tests.service.asking import USER, body_of, served_ids, user_blob, without_times
from tests.service.serving import Serving

pytestmark = pytest.mark.redis
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture(scope="module")
def server(artifact_folder, artifact, shared_redis):
    with redis.Redis(port=shared_redis.port) as client:
        client.set(user_redis_key("relist", USER), user_blob(artifact))
    settings = {
        "redis_url": f"redis://127.0.0.1:{shared_redis.port}",
        "max_body_bytes": 20_000,
        "body_timeout_ms": 300,
        # The machine of a test run is busy: a short budget would show in the answers.
        "request_budget_ms": 900,
        "feature_budget_ms": 500,
    }
    with Serving(artifact_folder, **settings) as serving:
        yield serving.ready()


@pytest.fixture
def client(server):
    with server.client() as made:
        yield made


def test_a_request_is_answered_whole_with_the_users_features_from_redis(client, server, artifact):
    hits = server.metric('rerank_store_seconds_count{outcome="hit"}')

    answer = client.post("/rerank", json=body_of(artifact, request_id="q1")).json()

    RerankResponse.model_validate(answer)
    assert answer["degraded"] == []
    assert answer["request_id"] == "q1"
    assert answer["artifact"] == artifact.manifest.artifact
    assert server.metric('rerank_store_seconds_count{outcome="hit"}') == hits + 1
    assert set(answer["timings_ms"]) == set(REQUEST_STAGES)
    parts = [answer["timings_ms"][stage] for stage in REQUEST_STAGES if stage != "total"]
    assert 0 < sum(parts) <= answer["timings_ms"]["total"]


@pytest.mark.slow
def test_the_same_request_gets_the_same_answer_from_process_to_process(
    client, artifact, artifact_folder
):
    body = body_of(artifact, user_id="nobody")
    here = client.post("/rerank", json=body).json()
    settings = {"request_budget_ms": 900}
    with Serving(artifact_folder, **settings) as other, other.ready().client() as there:
        elsewhere = there.post("/rerank", json=body).json()

    own = {"request_id"}
    assert {k: v for k, v in without_times(here).items() if k not in own} == {
        k: v for k, v in without_times(elsewhere).items() if k not in own
    }


def test_rows_and_columns_get_the_same_answer(client, artifact):
    columns = body_of(artifact, request_id="same")
    rows = columns | {
        "candidates": [
            {"item_id": i, "score": s} for i, s in zip(*columns["candidates"].values(), strict=True)
        ]
    }

    answers = [client.post("/rerank", json=body).json() for body in (rows, columns)]

    assert without_times(answers[0]) == without_times(answers[1])


GOOD = '"user_id":"u","candidates":{"item_id":["i1","i2"]}'
BAD = [
    ("", 400, "malformed_json"),
    ("{" + GOOD, 400, "malformed_json"),
    ("[]", 422, "invalid_request"),
    ('{"user_id":"u"}', 422, "invalid_request"),
    ('{"user_id":"u","candidates":[]}', 422, "invalid_request"),
    ("{" + GOOD + ',"list_size":3}', 422, "invalid_request"),
    ("{" + GOOD + ',"num_lists":100000}', 422, "limit_exceeded"),
    ("{" + GOOD + ',"seed":1e400}', 422, "invalid_request"),
    ("{" + GOOD + ',"context":{"nope":1}}', 422, "value_rejected"),
    ("{" + GOOD + ',"objective":{"value":1}}', 422, "invalid_request"),
    (
        "{" + GOOD + ',"constraints":{"pinned":[{"slot":0,"item_id":"i1"},'
        '{"slot":0,"item_id":"i2"}]}}',
        422,
        "invalid_request",
    ),
    (
        "{" + GOOD + ',"constraints":{"exclude":["i1","i2"]}}',
        422,
        "rules_unsatisfiable",
    ),
    ("{" + GOOD + ',"context":{"a":"' + "x" * 20_000 + '"}}', 413, "body_too_large"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), BAD, ids=[f"{b[2]}-{i}" for i, b in enumerate(BAD)]
)
def test_bad_input_is_refused_with_the_one_error_shape(client, body, status, code):
    got = client.post("/rerank", content=body, headers={"content-type": "application/json"})

    told = ErrorResponse.model_validate(got.json()).error
    assert (got.status_code, told.code) == (status, code)
    assert got.headers["content-type"] == "application/json"
    assert "Traceback" not in got.text


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/rerank", {}, 405, "method_not_allowed"),
        ("DELETE", "/info", {}, 405, "method_not_allowed"),
        ("POST", "/nothing", {}, 404, "not_found"),
        ("GET", "/rerank/", {}, 404, "not_found"),
        ("POST", "/rerank", {"content-encoding": "gzip"}, 415, "unsupported_media"),
        ("POST", "/rerank", {"content-type": "text/plain"}, 415, "unsupported_media"),
        ("POST", "/admin/artifact", {}, 401, "unauthorized"),
    ],
)
def test_errors_of_the_framework_have_the_same_shape(client, method, path, headers, status, code):
    got = client.request(method, path, headers=headers, content=b"{}")

    assert (got.status_code, ErrorResponse.model_validate(got.json()).error.code) == (status, code)


def test_a_client_that_sends_one_byte_and_stops_is_told_and_cut_off(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as connection:
        connection.sendall(
            b"POST /rerank HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: 50\r\n\r\n{"
        )
        answer = b"".join(iter(lambda: connection.recv(4096), b""))  # until the server hangs up

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"body_too_slow" in answer


def test_a_well_formed_trace_comes_back_with_answers_and_with_errors(client, artifact):
    headers = {"traceparent": TRACE}

    good = client.post("/rerank", json=body_of(artifact), headers=headers)
    bad = client.post("/rerank", json={}, headers=headers)

    assert good.headers["traceparent"] == bad.headers["traceparent"] == TRACE


def test_the_example_of_the_document_works_when_pasted(client):
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/rerank"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]

    answer = client.post("/rerank", json=example)

    assert answer.status_code == 200
    assert client.get("/docs").status_code == 200
    assert {"200", "400", "401", "408", "413", "415", "422", "429", "503"} <= set(
        operation["responses"]
    )


def test_info_tells_artifact_schema_and_limits(client, artifact):
    info = client.get("/info").json()

    assert info["artifact"] == artifact.manifest.artifact
    assert info["schema_hash"] == artifact.manifest.schema_hash
    assert {"brand", "price", "device"} <= {field["name"] for field in info["fields"]}
    assert info["limits"]["max_body_bytes"] == 20_000


def test_a_refusal_is_counted_by_its_code_and_every_code_has_a_series_from_the_start(
    client, server
):
    line = 'rerank_rejected_total{code="malformed_json"}'
    before = server.metric(line)

    client.post("/rerank", content=b"{", headers={"content-type": "application/json"})

    assert server.metric(line) == before + 1
    for code in error_codes():
        assert server.metric(f'rerank_rejected_total{{code="{code}"}}') >= 0


def test_no_label_of_any_metric_and_no_line_of_the_log_holds_a_users_id(client, server, artifact):
    secret = "user-7f3a"
    client.post("/rerank", json=body_of(artifact, user_id=secret))
    client.post("/rerank", json={"user_id": secret, "candidates": []})

    assert secret not in client.get("/metrics").text
    assert secret not in server.logged()


def test_names_of_metrics_follow_the_conventions(client):
    text = client.get("/metrics").text
    names = re.findall(r"^# TYPE (rerank_\w+) (\w+)$", text, flags=re.MULTILINE)

    assert len(names) > 15
    for name, kind in names:
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|millis|milliseconds|minutes)$", name), name


def test_pinned_and_excluded_items_are_where_the_rules_want_them(client, artifact):
    ids = body_of(artifact)["candidates"]["item_id"]
    rules = {"pinned": [{"slot": 2, "item_id": ids[9]}], "exclude": [ids[0], ids[1]]}

    for seed in range(8):
        body = body_of(artifact, seed=seed, constraints=rules)
        answer = client.post("/rerank", json=body).json()
        assert served_ids(answer)[2] == ids[9]
        assert not {ids[0], ids[1]} & set(served_ids(answer))
        assert answer["reward"] >= answer["input_reward"]


def test_a_cap_holds_in_every_list_that_was_compared(client, artifact):
    ids = [i for i in artifact.items.ids if artifact.items.display["title"]][:12]
    brand = {
        i: artifact.items.display["title"][artifact.items.index_by_id[i]].split()[-1] for i in ids
    }
    rules = {"caps": [{"field": "brand", "max": 1}]}

    for seed in range(4):
        body = body_of(artifact, seed=seed, constraints=rules, explain=True)
        got = client.post("/rerank", json=body)
        assert got.status_code == 200, got.text
        for compared in got.json()["explanation"]["lists"]:
            brands = [brand[i] for i in compared["item_ids"]]
            assert len(set(brands)) == len(brands)


def test_a_client_that_hangs_up_leaves_no_place_taken(server, artifact):
    raw = json.dumps(body_of(artifact)).encode()
    head = (
        b"POST /rerank HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % len(raw)
    )
    for cut in (0, 10, len(raw)):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + raw[:cut])

    with httpx.Client(base_url=server.url) as client:
        assert client.post("/rerank", json=body_of(artifact)).status_code == 200
    assert server.metric("rerank_in_flight_requests") == 0
    assert server.metric("rerank_waiting_requests") == 0


def test_the_server_tells_at_once_of_a_client_that_hangs_up_while_it_is_served(server, artifact):
    raw = json.dumps(body_of(artifact)).encode()
    head = b"POST /rerank HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(raw)
    gone = 'rerank_request_seconds_count{artifact="current",outcome="disconnected"}'
    before = server.metric(gone)
    for _ in range(50):  # one may be answered before the server looks at its connection again
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + raw)
        if server.metric(gone) > before:
            break
    assert server.metric(gone) > before


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"what is this\r\n\r\n", b"400", "malformed_http"),
        (b"GET /info HTTP/1.1\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", b"431", "head_too_large"),
        (b"GET /info HTTP/1.1\r\nx: " + b"y" * 400_000, b"431", "head_too_large"),  # no end
        (b"GET /" + b"y" * 400_000, b"431", "head_too_large"),
        (b"GET /info HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n", b"431", "head_too_large"),
    ],
)
def test_a_head_that_is_no_http_or_too_long_gets_the_one_error_shape_and_is_cut_off(
    server, raw, status, code
):
    with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as connection:
        for at in range(0, len(raw), 8192):
            try:
                connection.sendall(raw[at : at + 8192])
            except OSError:  # cut off already
                break
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            answer = b"".join(iter(lambda: connection.recv(4096), b""))

    if answer:  # a reset may overtake the answer when much was sent after it
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status)
        assert ErrorResponse.model_validate_json(body).error.code == code
    assert server.metric(f'rerank_rejected_total{{code="{code}"}}') >= 1
