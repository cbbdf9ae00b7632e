"""The service that a competent engineer writes in an afternoon, to measure ours against.

FastAPI with a body parameter, redis-py, the same graphs with ONNX Runtime's defaults, and plain
numpy. It has no budgets, limits, rules, metrics or fallbacks. Its encoding is its own, so that work
on ours does not make it faster; what defines an answer (noise, reward, choice) is the contract's.

    python -m loadtest.bench.reference_service --artifact FOLDER --redis redis://127.0.0.1:6379 --fd 3
"""

from __future__ import annotations

import argparse
import secrets
import socket
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
import redis.asyncio
import uvicorn
from fastapi import FastAPI
from numpy.typing import NDArray
from pydantic import BaseModel

from loadtest.bench.reference_encoding import ReferenceEncoder
from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    GENERATOR_GRAPH,
    ITEM_TABLE_FILE,
    REFINER_GRAPH,
    read_manifest,
)
from model.contract.schema.item_table import ItemTable
from model.contract.scoring.local_search import iterate_local_search, refiner_fixed_inputs
from model.contract.scoring.noise import request_noise
from model.contract.scoring.objective import compute_rewards, select_lists
from model.contract.store.user_record import unpack_user_record, user_redis_key

ReferenceArrays = dict[str, NDArray[Any]]
ReferenceValue = float | str | list[str] | None


class ReferenceCandidate(BaseModel):
    """One item on offer."""

    item_id: str
    score: float | None = None
    features: dict[str, ReferenceValue] = {}


class ReferenceColumns(BaseModel):
    """All items on offer, column by column."""

    item_id: list[str]
    score: list[float | None] | None = None
    features: dict[str, list[ReferenceValue]] = {}


class ReferenceRequest(BaseModel):
    """A request; what a benchmark's bodies do not carry is left out."""

    request_id: str | None = None
    user_id: str
    candidates: list[ReferenceCandidate] | ReferenceColumns
    context: dict[str, ReferenceValue] = {}
    num_lists: int = 8
    seed: int | None = None


class ReferenceItem(BaseModel):
    """One slot of the answer."""

    item_id: str
    slot: int
    input_slot: int
    p_click: float


class ReferenceResponse(BaseModel):
    """The list and what it is worth."""

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
        self.store = redis.asyncio.Redis.from_url(redis_url)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # 0 is ONNX Runtime's own choice
        self.sessions = {
            name: ort.InferenceSession(folder / graph.file, options)
            for name, graph in self.manifest.graphs.items()
            if name in (GENERATOR_GRAPH, EVALUATOR_GRAPH, REFINER_GRAPH)
        }
        self.input_names = {
            name: [i.name for i in session.get_inputs()] for name, session in self.sessions.items()
        }

    async def rerank(self, body: ReferenceRequest) -> ReferenceResponse:
        """The best of the generated lists and the input list."""
        blob = await self.store.get(user_redis_key("relist", body.user_id))
        manifest = self.manifest
        record = (
            None if blob is None else unpack_user_record(cast(bytes, blob), manifest.schema_hash)
        )
        ids, scores, features = _columns(body.candidates)
        seed = secrets.randbits(63) if body.seed is None else body.seed
        arrays = self.encoder.encode_candidates(ids, scores, features)
        arrays |= self.encoder.encode_user(record, body.context)
        lists, p_click, rewards = self._search(arrays, len(ids), body.num_lists, seed)
        chosen = int(select_lists(rewards, manifest.risk_aversion)[0])
        shown = lists[0, chosen, : min(manifest.lengths.default_list_size, len(ids))]
        chances = p_click.mean(axis=0)[0, chosen]
        mean = rewards.mean(axis=0)[0]
        return ReferenceResponse(
            request_id=body.request_id or secrets.token_hex(16),
            items=[
                ReferenceItem(
                    item_id=ids[at], slot=slot, input_slot=at, p_click=float(chances[slot])
                )
                for slot, at in enumerate(shown)
            ],
            reward=float(mean[chosen]),
            input_reward=float(mean[-1]),
            seed=seed,
        )

    def _search(
        self, arrays: ReferenceArrays, candidates: int, num_lists: int, seed: int
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Lists (1, L, M) with the input list last, their p_click and their rewards."""
        sizes = self.manifest.lengths
        noise_slot, noise_item = request_noise(
            seed=seed,
            lists=num_lists,
            edits=sizes.edits,
            slots=sizes.slots,
            candidates=candidates,
            scale=self.manifest.noise_scale,
        )
        slot_valid = np.arange(sizes.slots)[None] < min(sizes.default_list_size, candidates)
        start = np.where(slot_valid, np.arange(sizes.slots), 0).astype(np.int32)
        arrays |= {
            "cand_valid": np.ones((1, candidates), dtype=bool),
            "slot_valid": slot_valid,
            "start": start,
            "editable": slot_valid,
            "noise_slot": noise_slot[None],
            "noise_item": noise_item[None],
        }
        arrays |= refiner_fixed_inputs(arrays, self.manifest.objective.reward_weights, None)
        lists, arrays["known"], arrays["context"] = self._run(GENERATOR_GRAPH, arrays)
        lists = np.concatenate([lists, start[:, None]], axis=1)
        p_click, rewards = self._score_lists(arrays, lists)
        chosen = lists[:, select_lists(rewards, self.manifest.risk_aversion)[0]]
        refined = self._refine(arrays, chosen) if self.manifest.refine_rounds else chosen
        if (refined == chosen).all():
            return lists, p_click, rewards
        lists = np.concatenate([lists[:, :-1], refined[:, None], start[:, None]], axis=1)
        return lists, *self._score_lists(arrays, lists)

    def _score_lists(
        self, arrays: ReferenceArrays, lists: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """p_click (E, 1, L, M) and rewards (E, 1, L) of lists."""
        p_click, p_conversion = self._run(EVALUATOR_GRAPH, arrays | {"lists": lists})
        known = p_conversion if self.manifest.converts else None
        weights = self.manifest.objective.reward_weights
        return p_click, compute_rewards(p_click, known, None, arrays["slot_valid"], weights)

    def _refine(self, arrays: ReferenceArrays, chosen: NDArray[Any]) -> NDArray[Any]:
        """The list (1, M) that steps to the best neighbor reach from the chosen one."""

        def step(at: NDArray[Any]) -> NDArray[Any]:
            stepped: NDArray[Any] = self._run(REFINER_GRAPH, arrays | {"at": at})[0]
            return stepped

        return iterate_local_search(step, chosen, self.manifest.refine_rounds)

    def _run(self, graph: str, arrays: ReferenceArrays) -> list[NDArray[Any]]:
        taken = {name: arrays[name] for name in self.input_names[graph]}
        return list(self.sessions[graph].run(None, taken))


def _columns(
    given: list[ReferenceCandidate] | ReferenceColumns,
) -> tuple[list[str], list[float | None] | None, dict[str, list[ReferenceValue]]]:
    if isinstance(given, ReferenceColumns):
        return given.item_id, given.score, given.features
    names = {name for candidate in given for name in candidate.features}
    features = {name: [c.features.get(name) for c in given] for name in names}
    return [c.item_id for c in given], [c.score for c in given], features


def build_reference_app(folder: Path, redis_url: str, *, threads: int = 0) -> FastAPI:
    """The application."""
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
    """Serve on an inherited socket until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifact", type=Path, required=True)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--fd", type=int, required=True, help="a listening socket")
    parser.add_argument("--threads", type=int, default=0, help="of ONNX Runtime; 0: its default")
    given = parser.parse_args(argv)
    app = build_reference_app(given.artifact.resolve(), given.redis, threads=given.threads)
    config = uvicorn.Config(app, access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=given.fd)])


if __name__ == "__main__":
    main()
