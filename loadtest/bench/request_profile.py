"""Where the time of one request goes inside the process: `python -m loadtest.bench.request_profile`.

Runs requests through the application's own interface on one thread, without HTTP server and Redis,
and times named steps by the thread's own clock; a step's time is without that of the steps in it.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib
import inspect
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI

from loadtest.bench.bench_settings import DEFAULT_CANDIDATES, DEFAULT_LISTS
from loadtest.bench.inline_executor import InlineExecutor
from loadtest.bench.request_bodies import WIRE_FORMS, build_bodies, read_logged_requests
from model.contract.encoding.encoder import FeatureEncoder
from service.features.memory_user_store import MemoryUserStore
from service.inference.artifact_reader import read_artifact
from service.rerank import warmup
from service.rerank.artifact_slot import ArtifactSlot, ItemTableSlot, ServingModel
from service.rerank.request_limits import RequestLimits
from service.rerank.reranker import Reranker
from tests.service.applications import rerank_app

# module, name as it is looked up there, what to call it
PROFILED_STEPS = (
    ("service.api.routes.rerank", "parse_request", "parse the body"),
    ("service.rerank.reranker", "read_user", "read and unpack the user (memory)"),
    ("service.rerank.reranker", "encode_candidates", "encode: candidates"),
    ("service.rerank.search_request_builder", "encode_user", "encode: user"),
    ("service.rerank.search_request_builder", "encode_sessions", "encode: sessions"),
    ("service.rerank.search_request_builder", "compile_rules", "encode: rules"),
    ("service.rerank.reranker", "build_search_request", "encode: remainder"),
    ("service.rerank.list_search", "request_noise", "noise"),
    ("service.rerank.list_search", "feasible", "check the lists"),
    ("service.rerank.list_search", "compute_rewards", "reward"),
    ("service.rerank.list_search", "select_with_scores", "select the list"),
    ("service.rerank.reranker", "search_lists", "search: remainder"),
    ("service.inference.graphs", "OrtRun._run", "call ONNX Runtime: feeds, metrics"),
    ("service.rerank.reranker", "write_answer", "write the answer"),
    ("service.rerank.reranker", "count_quality", "metrics: quality"),
    ("service.rerank.reranker", "_count", "metrics: counts"),
    ("service.api.routes.rerank", "json.encode", "answer to JSON"),
    ("service.api.routes.rerank", "RerankEndpoint.answer", "admission, stage metrics: the rest"),
)
GRAPH_STEP = "ONNX Runtime"


class StepTimer:
    """Times of nested steps on one thread."""

    def __init__(self) -> None:
        self.step_seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, its own time added up under a name."""

        def done(began: float) -> None:
            took = time.thread_time() - began
            self.step_seconds[name] += took - self._inner.pop()
            self._inner[-1] += took

        @functools.wraps(call)
        def plain(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            began = time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                done(began)

        @functools.wraps(call)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            began = time.thread_time()
            try:
                return await call(*args, **kwargs)
            finally:
                done(began)

        return awaited if inspect.iscoroutinefunction(call) else plain


class TimedSession:
    """A session whose runs are a step of their own."""

    def __init__(self, session: Any, clockwork: StepTimer) -> None:
        self.run = clockwork.wrap(GRAPH_STEP, session.run)


def build_profiled_endpoint(folder: Path, users: Path, timer: StepTimer) -> FastAPI:
    """Everything between the HTTP server and the graphs."""
    artifact = read_artifact(folder)
    manifest = artifact.manifest
    models = ArtifactSlot()
    run = artifact.graphs.bind()
    latency = warmup.measure_search_latency(run, manifest, DEFAULT_CANDIDATES)
    graphs = artifact.graphs.with_role("current")
    timed = {name: TimedSession(own, timer) for name, own in graphs.sessions.items()}
    graphs.sessions = dict(timed)
    store = MemoryUserStore.from_file(users, schema_hash=manifest.schema_hash)
    encoder, items = FeatureEncoder(manifest.features), ItemTableSlot(artifact.items)
    models.swap(ServingModel(manifest, encoder, graphs, items, store, latency))
    return rerank_app(Reranker(models, InlineExecutor(), RequestLimits()))


def instrument_steps(timer: StepTimer) -> None:
    """Put the clocks around the steps."""
    for module, path, name in PROFILED_STEPS:
        owner: Any = importlib.import_module(module)
        *outer, last = path.split(".")
        for part in outer:
            owner = getattr(owner, part)
        setattr(owner, last, timer.wrap(name, getattr(owner, last)))


async def post_in_process(endpoint: FastAPI, raw: bytes) -> None:
    """One request through the application's interface."""
    came = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if came.is_set():
            await asyncio.Event().wait()  # the client stays
        came.set()
        return {"type": "http.request", "body": raw, "more_body": False}

    async def send(message: Any) -> None:
        if message.get("status", 200) != 200:
            raise RuntimeError(f"answered {message['status']}")

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw))]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/rerank",
        "query_string": b"",
        "headers": headers,
    }
    await endpoint(scope, receive, send)


async def profile_requests(
    endpoint: FastAPI, bodies: Sequence[bytes], timer: StepTimer, count: int
) -> dict[str, float]:
    """Median microseconds a request of each step."""
    found: dict[str, list[float]] = defaultdict(list)
    for turn in range(count + 100):
        timer.step_seconds.clear()
        await post_in_process(endpoint, bodies[turn % len(bodies)])
        if turn >= 100:
            for name, seconds in timer.step_seconds.items():
                found[name].append(seconds * 1e6)
    return {name: statistics.median(values) for name, values in found.items()}


def main(argv: list[str] | None = None) -> int:
    """Print the steps of both wire forms."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench.request_profile", description=__doc__
    )
    parser.add_argument("--artifact", type=Path, required=True)
    parser.add_argument("--handover", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args(argv)
    clockwork = StepTimer()
    folder = given.artifact.resolve()
    endpoint = build_profiled_endpoint(folder, given.serving_bundle / "users.bin", clockwork)
    instrument_steps(clockwork)
    logged = read_logged_requests(given.serving_bundle / "requests.jsonl")
    columns = {}
    for form in WIRE_FORMS:
        bodies = build_bodies(logged, candidates=DEFAULT_CANDIDATES, lists=DEFAULT_LISTS, form=form)
        work = profile_requests(endpoint, bodies, clockwork, given.count)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            columns[form] = runner.run(work)
    sys.stdout.write(f"| microseconds a request | {' | '.join(WIRE_FORMS)} |\n|---|---|---|\n")
    first = columns[WIRE_FORMS[0]]
    for name in sorted(first, key=lambda name: -first[name]):
        cells = " | ".join(f"{columns[form].get(name, 0.0):.0f}" for form in WIRE_FORMS)
        sys.stdout.write(f"| {name} | {cells} |\n")
    own = " | ".join(
        f"{sum(v for name, v in columns[form].items() if name != GRAPH_STEP):.0f}"
        for form in WIRE_FORMS
    )
    sys.stdout.write(f"| all but {GRAPH_STEP} | {own} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
