"""What one request costs, in counts that a busy machine does not change.

Times belong to `make bench`. Here: how many functions run and how much memory is held between the
first byte and the last, HTTP server and threads left out. A bound is what was measured and a few
per cent; a change that needs fewer lowers it, one that needs more says why it is worth it.
"""

import asyncio
import json
import selectors
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from loadtest.bench.request_bodies import columns_to_rows
from model.contract.schema.item_table import ItemTable
from service.api.admission import Admission
from service.api.rerank import Door, RerankEndpoint
from service.api.tokens import Tokens
from service.inference.artifact import Artifact
from service.inference.loop_worker import LoopWorker
from service.rerank.limits import Limits
from service.rerank.model import ModelHolder
from service.rerank.reranker import Reranker
from tests.service.asking import body_of, model_of

CANDIDATES = 52
# The service runs on uvloop, which is C: the standard loop's own functions are none of its.
_LOOP = {
    module.__file__ for module in (asyncio.base_events, asyncio.events, asyncio.tasks, selectors)
}
# Measured 2026-11-22 on Python 3.11, N = 52, K = 8: 445 and 503 calls, 28 to 30 KB. One more
# call for each candidate goes over the bound. A search that others may share (a turn of the loop to
# wait for them, and a generator that is sent its answers) took 61 of these calls more than one that
# runs by itself, and a busy core a third less time.
MOST_CALLS = {"columns": 458, "rows": 517}
MOST_HELD_KB = 32


def endpoint_of(artifact: Artifact) -> RerankEndpoint:
    """Everything between the HTTP server and the graphs, on this thread alone."""
    models = ModelHolder()
    models.swap(model_of(artifact))
    door = Door(
        admission=Admission(max_inflight=4, max_waiting=4),
        tokens=Tokens([], open_without=True),
        max_body_bytes=1 << 20,
        body_timeout_ms=2000,
        clock=time.monotonic,
    )
    return RerankEndpoint(Reranker(models, LoopWorker(), Limits()), door)


def body(artifact: Artifact, candidates: int, form: str) -> bytes:
    ids = list(artifact.items.ids[:candidates])
    columns: dict[str, Any] = {
        "item_id": ids,
        "score": [round(2.0 - 0.01 * i, 3) for i in range(candidates)],
        "features": {"distance": [0.1 * i for i in range(candidates)]},
    }
    given = columns_to_rows(columns) if form == "rows" else columns
    return json.dumps(body_of(artifact, candidates=given, budget_ms=1000)).encode()


async def ask(endpoint: RerankEndpoint, raw: bytes) -> dict[str, Any]:
    """One request through the application's own interface."""
    came = asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not came.is_set():
            came.set()
            return {"type": "http.request", "body": raw, "more_body": False}
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw))]
    await endpoint({"type": "http", "headers": headers}, receive, send)
    assert sent[0]["status"] == 200, sent
    answer: dict[str, Any] = json.loads(sent[1]["body"])
    assert answer["degraded"] == []
    return answer


async def calls(endpoint: RerankEndpoint, raw: bytes) -> int:
    """Functions of Python and of C that run for one request; the least of some, after caches."""
    counts = []
    for _ in range(6):
        counted = 0

        def count(frame: FrameType, event: str, argument: object) -> None:
            nonlocal counted
            if frame.f_code.co_filename not in _LOOP:
                counted += event in {"call", "c_call"}

        await asyncio.sleep(0)  # a turn of the loop, as between any two requests
        sys.setprofile(count)
        try:
            await ask(endpoint, raw)
        finally:
            sys.setprofile(None)
        counts.append(counted)
    return min(counts)


@pytest.mark.parametrize("form", ["columns", "rows"])
async def test_a_request_runs_no_more_functions_than_when_it_was_measured(artifact, form):
    endpoint = endpoint_of(artifact)

    assert await calls(endpoint, body(artifact, CANDIDATES, form)) <= MOST_CALLS[form]


async def test_a_request_holds_no_more_memory_at_once_than_when_it_was_measured(artifact):
    endpoint, raw = endpoint_of(artifact), body(artifact, CANDIDATES, "columns")
    for _ in range(3):
        await ask(endpoint, raw)

    tracemalloc.start()
    try:
        held = min([await _held_kb(endpoint, raw) for _ in range(3)])
    finally:
        tracemalloc.stop()

    assert held <= MOST_HELD_KB


async def _held_kb(endpoint: RerankEndpoint, raw: bytes) -> float:
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    await ask(endpoint, raw)
    return (tracemalloc.get_traced_memory()[1] - before) / 1024


async def test_a_function_for_each_candidate_and_a_kept_array_are_both_seen(artifact, monkeypatch):
    """The two guards themselves, on a request path made worse."""
    endpoint, raw = endpoint_of(artifact), body(artifact, CANDIDATES, "columns")
    plain = await calls(endpoint, raw)
    held = await _traced(endpoint, raw)
    monkeypatch.setattr(ItemTable, "places", _slow_places(ItemTable.row_indices))

    worse = await calls(endpoint, raw)
    assert worse >= plain + CANDIDATES
    assert worse > MOST_CALLS["columns"]
    assert await _traced(endpoint, raw) >= held + 900


async def _traced(endpoint: RerankEndpoint, raw: bytes) -> float:
    tracemalloc.start()
    try:
        return min([await _held_kb(endpoint, raw) for _ in range(3)])
    finally:
        tracemalloc.stop()


def _slow_places(places: Callable[..., Any]) -> Callable[..., Any]:
    def slow(table: Any, ids: Any) -> Any:
        kept = bytearray(1 << 20)
        found = places(table, [str.strip(i) for i in ids])
        del kept
        return found

    return slow
