"""What tests of the use case ask with: users, requests, a model around a loaded artifact."""

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
from service.inference.artifact import Artifact
from service.rerank.arrays import encode_candidates
from service.rerank.cost import Cost, CostLine
from service.rerank.deadline import Deadline
from service.rerank.limits import Limits
from service.rerank.model import Model, ModelHolder
from service.rerank.ports import ItemHolder, UserStore, Worker
from service.rerank.reranker import Reranker, Visit
from service.rerank.task import Task
from service.rerank.tasks import build_task

USER = "u1"
CHEAP = (1e-6, 0.0, 0.0, 0.0)  # a cost line that always fits


def user_blob(artifact: Artifact, sessions: int = 3) -> bytes:
    """A user of the toy log with some past lists, no two alike."""
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
    """One known user."""
    return MemoryUserStore({USER: user_blob(artifact)}, schema_hash=artifact.manifest.schema_hash)


class LateStore:
    """A store that is always late: waits for the time it was given and then says so."""

    async def fetch_user(self, user_id: str, *, timeout_s: float) -> UserRecord | None:
        """Never in time."""
        await asyncio.sleep(timeout_s)
        raise FeaturesUnavailable(
            store="late", fault="timeout", waited_ms=timeout_s * 1e3, budget_ms=timeout_s * 1e3
        )

    async def ping(self, *, timeout_s: float) -> None:
        """Late too."""
        await self.fetch_user("", timeout_s=timeout_s)

    async def close(self) -> None:
        """Nothing to give back."""


def model_of(artifact: Artifact, store: UserStore | None = None, **changes: Any) -> Model:
    """A model that serves the artifact; the cost line never refuses unless it is changed."""
    parts: dict[str, Any] = {
        "manifest": artifact.manifest,
        "encoder": FeatureEncoder(artifact.manifest.features),
        "graphs": artifact.graphs,
        "items": ItemHolder(artifact.items),
        "store": store or store_of(artifact),
        "cost": {rules: Cost(CostLine(CHEAP), CostLine(CHEAP)) for rules in (False, True)},
    }
    return Model(**(parts | changes))


def reranker_of(model: Model, worker: Worker) -> Reranker:
    """The use case around one model."""
    models = ModelHolder()
    models.swap(model)
    return Reranker(models, worker, Limits())


async def task_of(
    model: Model, request: RerankRequest, record: UserRecord | None = None, seed: int = 5
) -> Task:
    """What the use case makes of a request."""
    encoded = encode_candidates(request, model.encoder, model.items.table)
    return await build_task(request, model, encoded, record, seed)


def body_of(artifact: Artifact, **changes: Any) -> dict[str, Any]:
    """A right request for the first twelve items of the table."""
    ids = list(artifact.items.ids[:12])
    scores = [round(2.0 - 0.1 * i, 3) for i in range(12)]
    body: dict[str, Any] = {
        "user_id": USER,
        "seed": 5,
        "candidates": {"item_id": ids, "score": scores},
    }
    return body | changes


async def ask(
    reranker: Reranker, body: dict[str, Any], budget_s: float = 5.0, request_id: str = "r"
) -> dict[str, Any]:
    """The answer to a body."""
    now = time.monotonic()
    visit = Visit(request_id, Deadline(now, now + budget_s))
    return await reranker.rerank(parse_request(json.dumps(body).encode()), visit)


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from run to run."""
    return {key: value for key, value in answer.items() if key != "timings_ms"}


def served_ids(answer: dict[str, Any]) -> list[str]:
    """Item ids by slot."""
    return [item["item_id"] for item in answer["items"]]
