"""A plain service over the same graphs, to measure the service against.

FastAPI with a body parameter, redis-py, the graphs with ONNX Runtime's defaults, and plain numpy.
No budgets, limits, rules, metrics or fallbacks. Its encoding is separate from the product's, so
that a faster product does not make it faster. Noise, reward and selection are the contract's.

    python -m loadtest.bench.reference_service --artifact FOLDER \
        --redis redis://127.0.0.1:6379 --port 8000
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import cast

import redis.asyncio
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from loadtest.bench.reference_encoding import ReferenceEncoder
from loadtest.bench.reference_search import ReferenceSearch
from model.contract.artifact.manifest import ITEM_TABLE_FILE, read_manifest
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import unpack_user_record, user_redis_key

ReferenceValue = float | str | list[str] | None


class ReferenceCandidate(BaseModel):
    """One candidate item."""

    item_id: str
    score: float | None = None
    features: dict[str, ReferenceValue] = {}


class ReferenceColumns(BaseModel):
    """All candidates, column by column."""

    item_id: list[str]
    score: list[float | None] | None = None
    features: dict[str, list[ReferenceValue]] = {}


class ReferenceRequest(BaseModel):
    """A request, with the fields that the benchmark's bodies carry."""

    request_id: str | None = None
    user_id: str
    candidates: list[ReferenceCandidate] | ReferenceColumns
    context: dict[str, ReferenceValue] = {}
    num_lists: int = 8
    seed: int | None = None


class ReferenceItem(BaseModel):
    """One slot of the response."""

    item_id: str
    slot: int
    input_slot: int
    p_click: float


class ReferenceResponse(BaseModel):
    """The selected list with its expected reward."""

    request_id: str
    items: list[ReferenceItem]
    reward: float
    input_reward: float
    degraded: list[str] = []
    seed: int


class ReferenceReranker:
    """The graphs, the item table and a client of the store."""

    def __init__(self, folder: Path, redis_url: str, *, threads: int = 0) -> None:
        self.manifest = read_manifest(folder)
        self.encoder = ReferenceEncoder(self.manifest, ItemTable.read(folder / ITEM_TABLE_FILE))
        self.search = ReferenceSearch(folder, self.manifest, threads=threads)
        self.store = redis.asyncio.Redis.from_url(redis_url)

    async def rerank(self, body: ReferenceRequest) -> ReferenceResponse:
        """The best of the generated lists and the input list."""
        blob = await self.store.get(user_redis_key("relist", body.user_id))
        schema_hash = self.manifest.schema_hash
        record = None if blob is None else unpack_user_record(cast(bytes, blob), schema_hash)
        item_ids, scores, features = _to_columns(body.candidates)
        seed = secrets.randbits(63) if body.seed is None else body.seed
        arrays = self.encoder.encode_candidates(item_ids, scores, features)
        arrays |= self.encoder.encode_user(record, body.context)
        [best] = self.search.select([arrays], [seed], body.num_lists)
        return ReferenceResponse(
            request_id=body.request_id or secrets.token_hex(16),
            items=[
                ReferenceItem(
                    item_id=item_ids[index],
                    slot=slot,
                    input_slot=index,
                    p_click=float(best.p_click[slot]),
                )
                for slot, index in enumerate(best.indices)
            ],
            reward=best.reward,
            input_reward=best.input_reward,
            seed=seed,
        )


def _to_columns(
    candidates: list[ReferenceCandidate] | ReferenceColumns,
) -> tuple[list[str], list[float | None] | None, dict[str, list[ReferenceValue]]]:
    if isinstance(candidates, ReferenceColumns):
        return candidates.item_id, candidates.score, candidates.features
    names = {name for candidate in candidates for name in candidate.features}
    features = {name: [c.features.get(name) for c in candidates] for name in names}
    return [c.item_id for c in candidates], [c.score for c in candidates], features


def build_reference_app(folder: Path, redis_url: str, *, threads: int = 0) -> FastAPI:
    """The FastAPI application."""
    reference = ReferenceReranker(folder, redis_url, threads=threads)
    app = FastAPI()

    @app.post("/rerank")
    async def rerank(body: ReferenceRequest) -> ReferenceResponse:
        return await reference.rerank(body)

    @app.get("/health/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main(argv: list[str] | None = None) -> None:
    """Serve on a loopback port until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifact", type=Path, required=True)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime; 0: its default")
    options = parser.parse_args(argv)
    app = build_reference_app(options.artifact.resolve(), options.redis, threads=options.threads)
    uvicorn.run(app, host="127.0.0.1", port=options.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
