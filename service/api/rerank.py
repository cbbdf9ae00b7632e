"""POST /rerank as plain ASGI: admission, body, use case, answer. Adds no logic of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass

from pydantic_core import to_json
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from model.contract.request import parse_request
from service.api.admission import Admission, Visitor
from service.api.bodies import ClientGone, check_headers, read_body
from service.api.errors import ANSWERED, JSON, code_of, render
from service.api.tokens import Tokens
from service.api.trace import trace_headers, trace_id
from service.errors import Internal, NotReady
from service.rerank.deadline import Clock, Deadline
from service.rerank.reranker import Reranker, Visit
from service.telemetry import metrics
from service.telemetry.logs import event


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What stands between the network and the use case."""

    admission: Admission
    tokens: Tokens
    max_body_bytes: int
    body_timeout_ms: int
    clock: Clock


class RerankEndpoint:
    """One ASGI app for one path; every outcome is timed and counted."""

    def __init__(self, reranker: Reranker, door: Door) -> None:
        self._reranker, self._door = reranker, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an error of ours becomes a 500 that says nothing."""
        began = self._door.clock()
        headers = Headers(scope=scope)
        outcome: metrics.Outcome = "failed"
        try:
            body, degraded = await self._answer(headers, receive, began)
            outcome = "degraded" if degraded else "ok"
            await _send(send, 200, [JSON, *trace_headers(headers)], body)
        except ClientGone:
            outcome = "gone"
        except asyncio.CancelledError:
            outcome = "gone"
            raise
        except ANSWERED as error:
            outcome = "refused"
            await self._refuse(error, headers, send)
        except Exception as error:  # noqa: BLE001  # the last line before the client
            event("error", "failed", error, trace_id=trace_id(headers))
            await self._refuse(Internal(), headers, send)
        finally:
            metrics.REQUEST_SECONDS.labels(outcome).observe(self._door.clock() - began)

    async def _answer(self, headers: Headers, receive: Receive, began: float) -> tuple[bytes, bool]:
        """The answer's bytes, and whether it went without something."""
        door = self._door
        door.tokens.require(headers)
        check_headers(headers, door.max_body_bytes)
        if self._reranker.models.current is None:
            raise NotReady
        with door.admission.enter() as visitor:
            raw = await read_body(
                receive, max_bytes=door.max_body_bytes, timeout_ms=door.body_timeout_ms
            )
            return await _while_connected(self._work(raw, visitor, began), receive)

    async def _work(self, raw: bytes, visitor: Visitor, began: float) -> tuple[bytes, bool]:
        clock = self._door.clock
        arrived = clock()
        await visitor.turn()
        queued = clock()
        request = parse_request(raw)
        limits = self._reranker.limits
        visit = Visit(
            request_id=request.body.request_id or secrets.token_hex(16),
            deadline=Deadline(began, began + limits.budget_s(request.body.budget_ms), clock),
        )
        visit.seconds |= {"queue": queued - arrived, "parse": clock() - queued}
        answer = await self._reranker.rerank(request, visit)
        for stage, seconds in visit.seconds.items():
            metrics.STAGE_SECONDS.labels(stage).observe(seconds)
        return to_json(answer), bool(answer["degraded"])

    async def _refuse(self, error: Exception, headers: Headers, send: Send) -> None:
        status, own, body = render(error)
        metrics.REFUSED.labels(code_of(error)).inc()
        event("debug", "refused", code=code_of(error), trace_id=trace_id(headers))
        await _send(send, status, [*own, *trace_headers(headers)], body)


async def _while_connected(
    work: Coroutine[None, None, tuple[bytes, bool]], receive: Receive
) -> tuple[bytes, bool]:
    """The work's result; the work is dropped when the client hangs up first."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_until_gone(receive))
    watch.add_done_callback(lambda _: task.cancel())
    try:
        return await task
    except asyncio.CancelledError:
        if watch.done() and not watch.cancelled():
            raise ClientGone from None
        task.cancel()
        raise
    finally:
        watch.cancel()


async def _until_gone(receive: Receive) -> None:
    message: Message = {}
    while message.get("type") != "http.disconnect":
        message = await receive()


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
