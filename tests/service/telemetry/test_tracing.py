"""OpenTelemetry with an endpoint: one span per request, one child per stage."""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from service.telemetry.tracing import RequestTrace, RequestTracer, StageSpan, open_request_tracer
from tests.service.applications import rerank_app
from tests.service.asking import USER, body_of, model_of, reranker_of

STAGES = ["parse", "queue", "features", "encode", "generate", "evaluate"]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
async def client(artifact, executor, spans):
    traces = RequestTracer(SimpleSpanProcessor(spans))
    app = rerank_app(reranker_of(model_of(artifact), executor), traces=traces)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as made:
        yield made
    traces.close()


async def test_request_span_joins_trace_with_stage_children(artifact, client, spans):
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    began = time.time_ns()
    answer = await client.post(
        "/rerank", json=body_of(artifact, budget_ms=900, num_lists=3), headers=headers
    )
    ended = time.time_ns()

    *children, span = spans.get_finished_spans()
    assert (span.name, span.kind) == ("POST /rerank", SpanKind.SERVER)
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == CALLER
    assert dict(span.attributes) == {
        "rerank.artifact": artifact.manifest.artifact,
        "rerank.candidates": 12,
        "rerank.degraded": (),
        "rerank.lists_evaluated": answer.json()["lists_evaluated"],
        "rerank.outcome": "ok",
        "http.response.status_code": 200,
    }
    # encoding fills the time in which the store looks
    assert [child.name for child in children] == [*STAGES[:4], *STAGES[2:]]
    assert {child.parent.span_id for child in children} == {span.context.span_id}
    edges = [edge for child in children for edge in (child.start_time, child.end_time)]
    assert edges == sorted(edges)  # one after the other, inside the request
    slack_ns = 5_000_000  # between two clocks
    assert began - slack_ns < span.start_time <= edges[0]
    assert edges[-1] <= span.end_time < ended + slack_ns
    told = answer.json()["timings_ms"]
    for stage in STAGES:
        took = sum(c.end_time - c.start_time for c in children if c.name == stage)
        assert took / 1e6 == pytest.approx(told[stage], abs=2e-3)


async def test_request_span_without_traceparent_starts_a_trace(artifact, client, spans):
    broken = {"traceparent": "00-nothing-01"}
    await client.post("/rerank", json=body_of(artifact), headers=broken)
    await client.post("/rerank", json=body_of(artifact, num_lists=65))

    whole = [span for span in spans.get_finished_spans() if span.name == "POST /rerank"]
    assert [span.parent for span in whole] == [None, None]
    assert whole[0].context.trace_id != whole[1].context.trace_id
    assert whole[1].attributes["rerank.outcome"] == "rejected"
    assert whole[1].attributes["http.response.status_code"] == 422
    assert whole[1].attributes["error.type"] == "limit_exceeded"


async def test_request_span_contains_no_user_data(artifact, client, spans):
    body = body_of(artifact)
    await client.post("/rerank", json=body, headers={"authorization": "Bearer some-secret"})

    told = json.dumps([json.loads(span.to_json()) for span in spans.get_finished_spans()])
    assert "rerank.outcome" in told
    for word in (USER, *body["candidates"]["item_id"], "some-secret"):
        assert f'"{word}"' not in told


async def test_request_span_unsampled_trace_is_not_exported(artifact, client, spans):
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
    await client.post("/rerank", json=body_of(artifact), headers=headers)

    assert spans.get_finished_spans() == ()


class Collector(HTTPServer):
    """Keeps every export that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TakeExport)
        self.exports: list[tuple[str, bytes]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class TakeExport(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        self.server.exports.append((self.path, raw))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *parts):
        """Quiet."""


def test_request_tracer_close_exports_pending_spans():
    with Collector() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        traces = open_request_tracer(server.endpoint)
        assert traces is not None
        for began in (1.0, 2.0):
            traces.record(
                RequestTrace(began, stages=[StageSpan("parse", began, began + 0.25)]), began + 0.5
            )
        traces.close()
        server.shutdown()
        serving.join()

    ((path, raw),) = server.exports
    sent = ExportTraceServiceRequest.FromString(raw)
    names = {a.key: a.value.string_value for a in sent.resource_spans[0].resource.attributes}
    found = sent.resource_spans[0].scope_spans[0].spans
    lasted = [(s.name, s.end_time_unix_nano - s.start_time_unix_nano) for s in found]
    assert path == "/v1/traces"
    assert names["service.name"] == "relist"
    assert lasted == [("parse", 250_000_000), ("POST /rerank", 500_000_000)] * 2


def test_request_tracer_missing_collector_blocks_nothing():
    with Collector() as server:
        nobody = server.endpoint
    traces = open_request_tracer(nobody)
    assert traces is not None
    began = time.monotonic()
    for _ in range(100):
        traces.record(RequestTrace(1.0), 2.0)
    recorded = time.monotonic()
    traces.close()

    assert recorded - began < 0.5
    assert time.monotonic() - recorded < 4.0  # an export gives up after 2 s


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


BLOCK = (  # FastAPI brings the API along, and redis-py loads the SDK where it is installed
    "import os, sys; sys.modules |= dict.fromkeys(['opentelemetry.exporter', 'opentelemetry.sdk']);"
)


def test_request_tracer_without_endpoint_needs_no_otel(
    artifact_folder,
):
    code = (
        f"{BLOCK} from service.composition import build_service; "
        "from service.settings import Settings; "
        "build_service(Settings.from_environment(os.environ), 0).worker.close()"
    )
    done = run(code, RERANK_ARTIFACT_DIR=str(artifact_folder))

    assert done.returncode == 0, done.stderr


def test_request_tracer_missing_extra_stops_the_start(artifact_folder):
    code = f"{BLOCK} from service.cli.main import main; sys.argv = ['relist', 'serve']; main()"
    endpoint = "http://127.0.0.1:4318/v1/traces"
    done = run(code, RERANK_ARTIFACT_DIR=str(artifact_folder), RERANK_OTEL_ENDPOINT=endpoint)

    assert done.returncode == 2
    assert "pip install 'relist[otel]'" in done.stderr
    assert "Traceback" not in done.stderr
