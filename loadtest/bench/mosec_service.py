"""The same graphs behind mosec with dynamic batching, to measure the service against.

A worker decodes with msgspec, reads the users of a batch with one MGET and runs each graph once
for requests of the same size. Settings come from BENCH_MOSEC_* variables, because mosec starts its
workers as processes of their own.

    BENCH_MOSEC_ARTIFACT=FOLDER BENCH_MOSEC_REDIS=redis://127.0.0.1:6379 \
        python -m loadtest.bench.mosec_service --address 127.0.0.1 --port 8000
"""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import redis
from mosec import Server, ValidationError, Worker

from loadtest.bench.mosec_variables import ARTIFACT_VARIABLE, REDIS_VARIABLE, WORKERS_VARIABLE
from loadtest.bench.reference_encoding import ReferenceArrays, ReferenceEncoder
from loadtest.bench.reference_search import ReferenceSearch, SelectedList
from model.contract.artifact.manifest import ITEM_TABLE_FILE, read_manifest
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import unpack_user_record, user_redis_key

MAX_BATCH_SIZE, MAX_WAIT_MS = 8, 1


class MosecCandidate(msgspec.Struct):
    """One candidate of the row form."""

    item_id: str
    score: float | None = None
    features: dict[str, Any] = {}


class MosecColumns(msgspec.Struct):
    """All candidates, column by column."""

    item_id: list[str]
    score: list[float | None] | None = None
    features: dict[str, list[Any]] = {}


class MosecRequest(msgspec.Struct):
    """A request, with the fields that the benchmark's bodies carry."""

    user_id: str
    candidates: list[MosecCandidate] | MosecColumns
    request_id: str | None = None
    context: dict[str, Any] = {}
    num_lists: int = 8
    seed: int | None = None


class MosecItem(msgspec.Struct):
    """One slot of the response."""

    item_id: str
    slot: int
    input_slot: int
    p_click: float


class MosecResponse(msgspec.Struct):
    """The selected list with its expected reward."""

    request_id: str
    items: list[MosecItem]
    reward: float
    input_reward: float
    seed: int
    degraded: list[str] = []


class MosecReranker(Worker):
    """Answers batches of requests."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        folder = Path(os.environ[ARTIFACT_VARIABLE])
        self.manifest = read_manifest(folder)
        self.encoder = ReferenceEncoder(self.manifest, ItemTable.read(folder / ITEM_TABLE_FILE))
        self.search = ReferenceSearch(folder, self.manifest, threads=1)
        self.store = redis.Redis.from_url(os.environ[REDIS_VARIABLE])
        self.decoder = msgspec.json.Decoder(MosecRequest)
        self.encode_json = msgspec.json.Encoder().encode

    def deserialize(self, data: bytes) -> MosecRequest:
        """The request; raises mosec's ValidationError (HTTP 422)."""
        try:
            return self.decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise ValidationError(str(error)) from error

    def serialize(self, data: MosecResponse) -> bytes:
        """The response as JSON."""
        return self.encode_json(data)

    def forward(self, data: Sequence[MosecRequest]) -> list[MosecResponse]:
        """One response a request, in order."""
        records = self._read_records(data)
        seeds = [secrets.randbits(63) if one.seed is None else one.seed for one in data]
        columns = [_to_columns(one.candidates) for one in data]
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, request in enumerate(data):
            groups[len(columns[index].item_id), request.num_lists].append(index)
        responses: dict[int, MosecResponse] = {}
        for (_, num_lists), members in groups.items():
            encoded = [self._encode(data[i], columns[i], records[i]) for i in members]
            selected = self.search.select(encoded, [seeds[i] for i in members], num_lists)
            for i, best in zip(members, selected, strict=True):
                responses[i] = _to_response(data[i], columns[i].item_id, best, seeds[i])
        return [responses[index] for index in range(len(data))]

    def _read_records(self, requests: Sequence[MosecRequest]) -> list[bytes | None]:
        keys = [user_redis_key("relist", request.user_id) for request in requests]
        return cast(list[bytes | None], self.store.mget(keys))

    def _encode(
        self, request: MosecRequest, columns: MosecColumns, blob: bytes | None
    ) -> ReferenceArrays:
        schema_hash = self.manifest.schema_hash
        record = None if blob is None else unpack_user_record(blob, schema_hash)
        arrays = self.encoder.encode_candidates(columns.item_id, columns.score, columns.features)
        return arrays | self.encoder.encode_user(record, request.context)


def _to_columns(candidates: list[MosecCandidate] | MosecColumns) -> MosecColumns:
    if isinstance(candidates, MosecColumns):
        return candidates
    names = {name for candidate in candidates for name in candidate.features}
    return MosecColumns(
        item_id=[c.item_id for c in candidates],
        score=[c.score for c in candidates],
        features={name: [c.features.get(name) for c in candidates] for name in names},
    )


def _to_response(
    request: MosecRequest, item_ids: list[str], best: SelectedList, seed: int
) -> MosecResponse:
    items = [
        MosecItem(item_id=item_ids[index], slot=slot, input_slot=int(index), p_click=float(p_click))
        for slot, (index, p_click) in enumerate(zip(best.indices, best.p_click, strict=True))
    ]
    return MosecResponse(
        request_id=request.request_id or secrets.token_hex(16),
        items=items,
        reward=best.reward,
        input_reward=best.input_reward,
        seed=seed,
    )


def main() -> None:
    """Serve POST /rerank until SIGTERM; mosec reads the address from the command line."""
    server = Server()
    server.append_worker(
        MosecReranker,
        num=int(os.environ.get(WORKERS_VARIABLE, "1")),
        max_batch_size=MAX_BATCH_SIZE,
        max_wait_time=MAX_WAIT_MS,
        route="/rerank",
    )
    server.run()


if __name__ == "__main__":
    main()
