"""A request, a user's record and a model -> the task that the search runs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import ManifestObjective
from model.contract.rules.compiler import CompiledRules, compile_rules
from model.contract.store.user_record import UserRecord
from model.contract.wire.request import RerankRequest
from model.contract.wire.request_limits import MAX_SEED
from service.rerank import limits
from service.rerank.arrays import (
    EncodedCandidates,
    encode_sessions,
    encode_user,
)
from service.rerank.model import Model
from service.rerank.task import Task


async def build_task(
    request: RerankRequest,
    model: Model,
    encoded: EncodedCandidates,
    record: UserRecord | None,
    seed: int,
) -> Task:
    """The task of encoded candidates and what is known of the user.

    Raises ValueRejected, RequestRejected, RulesUnsatisfiable or RulesUndecided.
    """
    manifest, encoder, table = model.manifest, model.encoder, encoded.table
    objective = limits.objective(request, manifest)
    size = limits.list_size(request, manifest)
    user = encode_user(record, request.body.context, encoder)
    sessions, sess_valid = encode_sessions(
        record, encoder, table, manifest.lengths, vary=manifest.has_dynamic_sessions
    )
    compile_them = _compiling(request, model, encoded, size)
    rules = request.body.constraints
    searched = rules is not None and (rules.caps or rules.minimums)
    compiled = await asyncio.to_thread(compile_them) if searched else compile_them()
    slot_valid = _slot_valid(manifest.lengths.slots, size)
    values = None
    if objective.value:
        values = _values(request, encoded, manifest.objective)
    return Task(
        context={
            "candidates": encoded.rows[None],
            "cand_valid": compiled.arrays.allowed[None],
            "slot_valid": slot_valid[None],
            "user": user[None],
            "sessions": sessions[None],
            "sess_valid": sess_valid[None],
        },
        start=compiled.start_list,
        slot_valid=slot_valid,
        size=size,
        rules=compiled.arrays,
        objective=objective,
        values=values,
        num_lists=request.body.num_lists,
        seed=seed,
        ruled=bool(request.body.constraints),
    )


def derive_seed(request_id: str) -> int:
    """The seed of a request that names none: equal wherever the same request id is served."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & MAX_SEED


@lru_cache(maxsize=512)
def _slot_valid(slots: int, size: int) -> NDArray[np.bool_]:
    """(M,) the list's slots, shared by all requests of this size."""
    valid = np.arange(slots) < size
    valid.flags.writeable = False
    return valid


def _compiling(
    request: RerankRequest, model: Model, encoded: EncodedCandidates, size: int
) -> Callable[[], CompiledRules]:
    """What makes the rules' arrays and the repaired input list.

    Caps and minimums may ask for a search, so they are compiled beside the loop: not on the
    worker, where they would wait for other requests' runs. No deadline ends it, its own bound
    does: the last rung of the ladder, the input order, has to obey the rules too.
    """
    return partial(
        compile_rules,
        request.body.constraints,
        item_ids=request.item_ids,
        rows=encoded.rows,
        schema=model.manifest.features,
        list_size=size,
        slots=model.manifest.lengths.slots,
    )


def _values(
    request: RerankRequest, encoded: EncodedCandidates, weights: ManifestObjective
) -> NDArray[np.float32]:
    """(N,) raw value of each candidate: the request's, else the item table's, else 0."""
    name = weights.value_field or ""
    values = np.full(len(request), np.nan, dtype=np.float32)
    held = encoded.table.numbers.get(name)
    if held is not None and len(held):
        values = np.where(encoded.places < 0, np.nan, held[encoded.places]).astype(np.float32)
    given = request.features.get(name)
    if given is not None:
        own = np.asarray([np.nan if v is None else v for v in given], dtype=np.float32)
        values = np.where(np.isnan(own), values, own)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
