"""Inputs for tests of the use case: users, request bodies, and a model of a loaded artifact."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.schema.item_table import item_keys
from model.contract.store.user_record import UserRecord, pack_user_record
from model.contract.wire.request import RerankRequest, parse_request
from service.errors import FeaturesUnavailable
from service.features.memory_user_store import MemoryUserStore
from service.inference.artifact_reader import Artifact
from service.rerank.artifact_slot import ArtifactSlot, ItemTableSlot, ServingModel
from service.rerank.deadline import Clock, Deadline
from service.rerank.interfaces import GraphExecutor, UserStore
from service.rerank.latency_model import LatencyModel, SearchLatency
from service.rerank.request_context import RequestContext
from service.rerank.request_encoding import encode_candidates
from service.rerank.request_limits import RequestLimits
from service.rerank.reranker import Reranker
from service.rerank.search_request import SearchRequest
from service.rerank.search_request_builder import build_search_request

USER = "u1"
NEGLIGIBLE = (1e-6, 0.0, 0.0, 0.0)  # weights of a latency model that every budget allows


def user_blob(artifact: Artifact, sessions: int = 3) -> bytes:
    """A user of the toy log with this number of different sessions."""
    manifest = artifact.manifest
    encoder = FeatureEncoder(manifest.features)
    slots = manifest.lengths.session_slots
    ids = [artifact.items.ids[(3 * h + j) % 20] for h in range(sessions) for j in range(slots)]
    clicked = (np.arange(sessions * slots) % 3 == 0).astype(np.int8).reshape(sessions, slots)
    return pack_user_record(
        UserRecord(
            written_at_ms=int(time.time() * 1e3) - 60_000,
            user_columns=encoder.encode_users(np.array([1]), {})[0],
            item_keys=item_keys(ids).reshape(sessions, slots),
            clicked=clicked,
            converted=np.where(clicked > 0, 0, -1).astype(np.int8),
        ),
        manifest.schema_hash,
    )


def store_of(artifact: Artifact) -> MemoryUserStore:
    """A store with one user, USER."""
    return MemoryUserStore({USER: user_blob(artifact)}, schema_hash=artifact.manifest.schema_hash)


class LateStore:
    """A store that waits for the whole timeout and then fails."""

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        """Raise FeaturesUnavailable after the timeout."""
        await asyncio.sleep(timeout_s)
        raise FeaturesUnavailable(
            store="late", fault="timeout", waited_ms=timeout_s * 1e3, budget_ms=timeout_s * 1e3
        )

    async def ping(self, *, timeout_s: float) -> None:
        """Raise FeaturesUnavailable after the timeout."""
        await self.fetch_user("", timeout_s=timeout_s)

    async def close(self) -> None:
        """Nothing to release."""


def latency_of(
    lists_s: float, step_s: float = 1e-6, scoring_s: float | None = None
) -> dict[bool, SearchLatency]:
    """Constant latencies, the same with and without rules."""

    def constant(seconds: float) -> LatencyModel:
        return LatencyModel((seconds, 0.0, 0.0, 0.0))

    scoring = None if scoring_s is None else constant(scoring_s)
    return {
        rules: SearchLatency(constant(lists_s), constant(step_s), scoring)
        for rules in (False, True)
    }


def model_of(artifact: Artifact, store: UserStore | None = None, **changes: Any) -> ServingModel:
    """A model of the artifact whose latency models allow every search, with changed fields."""
    fields: dict[str, Any] = {
        "manifest": artifact.manifest,
        "encoder": FeatureEncoder(artifact.manifest.features),
        "graphs": artifact.graphs,
        "items": ItemTableSlot(artifact.items),
        "store": store or store_of(artifact),
        "latency": latency_of(NEGLIGIBLE[0]),
    }
    return ServingModel(**(fields | changes))


def reranker_of(model: ServingModel, executor: GraphExecutor) -> Reranker:
    """A reranker that serves one model."""
    artifact_slot = ArtifactSlot()
    artifact_slot.swap(model)
    return Reranker(artifact_slot, executor, RequestLimits())


async def search_request_of(
    model: ServingModel, request: RerankRequest, record: UserRecord | None = None, seed: int = 5
) -> SearchRequest:
    """The search request that the reranker builds."""
    encoded = encode_candidates(request, model.encoder, model.items.table)
    return await build_search_request(request, model, encoded, record=record, seed=seed)


def body_of(artifact: Artifact, **changes: Any) -> dict[str, Any]:
    """A valid request body for the first twelve items of the table, with changed fields."""
    ids = list(artifact.items.ids[:12])
    scores = [round(2.0 - 0.1 * i, 3) for i in range(12)]
    body: dict[str, Any] = {
        "user_id": USER,
        "seed": 5,
        "candidates": {"item_id": ids, "score": scores},
    }
    return body | changes


async def ask(
    reranker: Reranker,
    body: dict[str, Any],
    budget_s: float = 5.0,
    request_id: str = "r",
    clock: Clock = time.monotonic,
) -> dict[str, Any]:
    """The reranker's response to a body."""
    now = clock()
    context = RequestContext(request_id, Deadline(now, now + budget_s, clock), stage_started=now)
    return await reranker.rerank(parse_request(json.dumps(body).encode()), context)


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    """A response without its timings, which differ between runs."""
    return {key: value for key, value in answer.items() if key != "timings_ms"}


def served_ids(answer: dict[str, Any]) -> list[str]:
    """Item ids by slot."""
    return [item["item_id"] for item in answer["items"]]
