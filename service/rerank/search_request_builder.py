"""A request, a user's record and a model -> the input of the list search."""

from __future__ import annotations

import asyncio
import hashlib
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import Manifest, ManifestObjective
from model.contract.rules.compiler import CompiledRules, compile_rules
from model.contract.scoring.noise import request_noise
from model.contract.scoring.objective import RewardWeights
from model.contract.store.user_record import UserRecord
from model.contract.wire.request import RerankRequest
from model.contract.wire.size_limits import MAX_SEED
from service.rerank.artifact_slot import ServingModel
from service.rerank.request_encoding import (
    EncodedCandidates,
    encode_sessions,
    encode_user,
)
from service.rerank.request_limits import request_objective, served_list_size
from service.rerank.search_request import SearchRequest


async def build_search_request(
    request: RerankRequest,
    model: ServingModel,
    encoded: EncodedCandidates,
    *,
    record: UserRecord | None,
    seed: int,
) -> SearchRequest:
    """Combine encoded candidates, the user's record and the compiled rules.

    Raises ValueRejected, RequestRejected, RulesUnsatisfiable or RulesUndecided.
    """
    manifest, encoder = model.manifest, model.encoder
    objective = request_objective(request, manifest)
    size = served_list_size(request, manifest)
    user = encode_user(record, request.body.context, encoder)
    sessions, sess_valid = encode_sessions(
        record, encoder, encoded.table, lengths=manifest.lengths, vary=manifest.has_dynamic_sessions
    )
    compiled = await _compile_constraints(request, model, encoded, size)
    slot_valid = _slot_valid(manifest.lengths.slots, size)
    noise_slot, noise_item = draw_noise(
        manifest, seed=seed, lists=request.body.num_lists, candidates=len(request)
    )
    return SearchRequest(
        fixed_inputs={
            "candidates": encoded.rows[None],
            "cand_valid": compiled.arrays.allowed[None],
            "slot_valid": slot_valid[None],
            "user": user[None],
            "sessions": sessions[None],
            "sess_valid": sess_valid[None],
        },
        input_list=compiled.start_list,
        slot_valid=slot_valid,
        list_size=size,
        rules=compiled.arrays,
        objective=objective,
        values=_candidate_values(request, encoded, objective, manifest.objective),
        num_lists=request.body.num_lists,
        seed=seed,
        noise_slot=noise_slot,
        noise_item=noise_item,
        num_candidates=len(request),
        has_count_rules=len(compiled.arrays.minimum) > 0,
        has_constraints=bool(request.body.constraints),
    )


def draw_noise(
    manifest: Manifest, *, seed: int, lists: int, candidates: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(K, T, M) and (K, T, N) noise; a search that affords fewer lists uses the first of them."""
    lengths = manifest.lengths
    return request_noise(
        seed=seed,
        lists=lists,
        edits=lengths.edits,
        slots=lengths.slots,
        candidates=candidates,
        scale=manifest.noise_scale,
    )


def derive_seed(request_id: str) -> int:
    """The seed of a request that names none: the same for equal request ids in every process."""
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & MAX_SEED


@lru_cache(maxsize=512)
def _slot_valid(slots: int, list_size: int) -> NDArray[np.bool_]:
    """(M,) mask of the list's slots, read-only and shared by all requests of this size."""
    valid = np.arange(slots) < list_size
    valid.flags.writeable = False
    return valid


async def _compile_constraints(
    request: RerankRequest, model: ServingModel, encoded: EncodedCandidates, list_size: int
) -> CompiledRules:
    """The rules' arrays and the repaired input list.

    Caps and minimums may require a search, so they are compiled on a separate thread: neither on
    the event loop nor behind graph runs. The search has a work limit of its own and no deadline,
    because the input order, the last fallback, has to obey the rules too.
    """
    compiling = partial(
        compile_rules,
        request.body.constraints,
        item_ids=request.item_ids,
        rows=encoded.rows,
        schema=model.manifest.features,
        list_size=list_size,
        slots=model.manifest.lengths.slots,
    )
    constraints = request.body.constraints
    if constraints is not None and (constraints.caps or constraints.minimums):
        return await asyncio.to_thread(compiling)
    return compiling()


def _candidate_values(
    request: RerankRequest,
    encoded: EncodedCandidates,
    objective: RewardWeights,
    weights: ManifestObjective,
) -> NDArray[np.float32] | None:
    """(N,) value of each candidate: the request's, else the item table's, else 0.

    Returns None for an objective without a value weight.
    """
    if not objective.value:
        return None
    name = weights.value_field or ""
    values = np.full(len(request), np.nan, dtype=np.float32)
    column, row_indices = encoded.table.numbers.get(name), encoded.row_indices
    if column is not None and len(column):
        values = np.where(row_indices < 0, np.nan, column[row_indices]).astype(np.float32)
    overrides = request.features.get(name)
    if overrides is not None:
        own = np.asarray([np.nan if v is None else v for v in overrides], dtype=np.float32)
        values = np.where(np.isnan(own), values, own)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
