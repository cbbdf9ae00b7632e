"""What one request costs, in counts that a busy machine does not change.

Times belong to `make bench`. Here: how the number of function calls grows with the candidates, and
how much memory a request holds, without HTTP server and threads.
"""

import asyncio
import json
import selectors
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from fastapi import FastAPI

from loadtest.bench.inline_executor import InlineExecutor
from loadtest.bench.request_bodies import columns_to_rows
from model.contract.schema.item_table import ItemTable
from service.inference.artifact_reader import Artifact
from service.rerank.artifact_slot import ArtifactSlot
from service.rerank.request_limits import RequestLimits
from service.rerank.reranker import Reranker
from tests.service.applications import rerank_app
from tests.service.asking import body_of, model_of

CANDIDATES = 52
# The service runs on uvloop, which is C: the standard loop's own functions are none of its.
_LOOP = {
    module.__file__ for module in (asyncio.base_events, asyncio.events, asyncio.tasks, selectors)
}
FEW = 12
# FastAPI's routing, the middleware and the use case; a call for each candidate adds 40.
MAX_EXTRA_CALLS = {"columns": 10, "rows": 10 + CANDIDATES - FEW}  # a row is one call
MAX_HELD_KB = 48  # measured 37 at 52 candidates, plus 30 %


def app_of(artifact: Artifact) -> FastAPI:
    """Everything between the HTTP server and the graphs, on this thread alone."""
    models = ArtifactSlot()
    models.swap(model_of(artifact))
    return rerank_app(Reranker(models, InlineExecutor(), RequestLimits()))


def body(artifact: Artifact, candidates: int, form: str) -> bytes:
    ids = list(artifact.items.ids[:candidates])
    columns: dict[str, Any] = {
        "item_id": ids,
        "score": [round(2.0 - 0.01 * i, 3) for i in range(candidates)],
        "features": {"distance": [0.1 * i for i in range(candidates)]},
    }
    given = columns_to_rows(columns) if form == "rows" else columns
    return json.dumps(body_of(artifact, candidates=given, budget_ms=1000)).encode()


async def ask(app: FastAPI, raw: bytes) -> dict[str, Any]:
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
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/rerank",
        "query_string": b"",
        "headers": headers,
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 200, sent
    answer: dict[str, Any] = json.loads(sent[1]["body"])
    assert answer["degraded"] == []
    return answer


async def calls(app: FastAPI, raw: bytes) -> int:
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
            await ask(app, raw)
        finally:
            sys.setprofile(None)
        counts.append(counted)
    return min(counts)


@pytest.mark.parametrize("form", ["columns", "rows"])
async def test_rerank_calls_do_not_grow_with_candidates(artifact, form):
    app = app_of(artifact)

    few, many = [await calls(app, body(artifact, n, form)) for n in (FEW, CANDIDATES)]

    assert many - few <= MAX_EXTRA_CALLS[form]


async def test_rerank_held_memory_is_bounded(artifact):
    app, raw = app_of(artifact), body(artifact, CANDIDATES, "columns")
    for _ in range(3):
        await ask(app, raw)

    assert await _traced(app, raw) <= MAX_HELD_KB


async def _held_kb(app: FastAPI, raw: bytes) -> float:
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    await ask(app, raw)
    return (tracemalloc.get_traced_memory()[1] - before) / 1024


async def test_call_and_memory_guards_see_a_worse_path(artifact, monkeypatch):
    """The two guards themselves, on a request path made worse."""
    app, raw = app_of(artifact), body(artifact, CANDIDATES, "columns")
    plain = await calls(app, raw)
    held = await _traced(app, raw)
    monkeypatch.setattr(ItemTable, "row_indices", _slow_places(ItemTable.row_indices))

    worse = await calls(app, raw)
    assert worse >= plain + CANDIDATES > plain + MAX_EXTRA_CALLS["columns"]
    assert await _traced(app, raw) >= held + 900


async def _traced(app: FastAPI, raw: bytes) -> float:
    tracemalloc.start()
    try:
        return min([await _held_kb(app, raw) for _ in range(3)])
    finally:
        tracemalloc.stop()


def _slow_places(places: Callable[..., Any]) -> Callable[..., Any]:
    def slow(table: Any, ids: Any) -> Any:
        kept = bytearray(1 << 20)
        found = places(table, [str.strip(i) for i in ids])
        del kept
        return found

    return slow
