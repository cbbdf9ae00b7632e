"""A checked request and a user's record -> the arrays that the graphs take, with B = 1.

Encoding itself is the contract's; this room only says what stands where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import GraphSizes
from model.contract.encoding.encoder import FeatureEncoder
from model.contract.errors import ValueRejected
from model.contract.schema.declared import UPSTREAM_RANK, UPSTREAM_RAW_SCORE, UPSTREAM_SCORE
from model.contract.schema.fitted import EmbeddingIndices, FittedField
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import UserRecord
from model.contract.wire.request import RerankRequest

_FEATURES = "candidates.features"
_FED = "is fed by `score`"
_OFFERED = {
    UPSTREAM_SCORE: _FED,
    UPSTREAM_RAW_SCORE: _FED,
    UPSTREAM_RANK: "is the candidates' order",
}


@dataclass(slots=True)  # frozen, each of its fields would cost a call
class EncodedCandidates:
    """Candidates of one request.

    rows: (N, Fc) int32.  places: (N,) int64 in the item table, -1 for an unknown item.
    table: that table; by now the model may have another.
    unknown: how many candidates it does not know.
    """

    rows: EmbeddingIndices
    places: NDArray[np.int64]
    table: ItemTable
    unknown: int


def encode_candidates(
    request: RerankRequest, encoder: FeatureEncoder, table: ItemTable
) -> EncodedCandidates:
    """Item rows from the table, overridden where the request says so, and candidate-scope rows.

    A null is "not given": an item-scope field keeps the table's value, a candidate-scope one is a
    gap. Raises ValueRejected for a field that the schema does not know or a value of another type.
    """
    one = encoder.request_encoder
    own: dict[str, Sequence[Any]] = {}
    over: dict[str, Sequence[Any]] = {}
    for name, values in request.features.items():
        if name in one.candidate_fields and name not in _OFFERED:
            own[name] = values
        else:
            _require_known(name, one.item_fields, _FEATURES, one.candidate_fields)
            over[name] = values
    places = table.row_indices(request.item_ids)
    try:
        rows, unknown = one.encode_candidates(places, table.rows_with_default, request.scores, own)
    except ValueRejected as error:
        raise _located(error, _FEATURES) from error
    for name, values in over.items():
        _override(rows, encoder, name, values)
    return EncodedCandidates(rows, places, table, unknown)


def encode_user(
    record: UserRecord | None, context: Mapping[str, Any], encoder: FeatureEncoder
) -> EmbeddingIndices:
    """(Fu,) int32: stored columns (the default user's when there is no record) and context."""
    stored = encoder.default_user_row if record is None else record.user_columns
    one = encoder.request_encoder
    if not context:
        default = one.default_context
        return np.concatenate([stored, default]) if len(default) else stored
    for name in context:
        _require_known(name, one.context_fields, "context")
    try:
        own = encoder.encode_context(1, {name: [value] for name, value in context.items()})
    except ValueRejected as error:
        raise _located(error, "context") from error
    return np.concatenate([stored, own[0]])


def fits(record: UserRecord, encoder: FeatureEncoder) -> bool:
    """Whether a record has the schema's user columns: as many, all of them rows of the table."""
    rows = record.user_columns.tolist()
    if len(rows) != len(encoder.default_user_row):
        return False
    return not rows or (min(rows) >= 0 and max(rows) < encoder.schema.num_embeddings)


def encode_sessions(
    record: UserRecord | None,
    encoder: FeatureEncoder,
    table: ItemTable,
    lengths: GraphSizes,
    *,
    vary: bool,
) -> tuple[EmbeddingIndices, NDArray[np.bool_]]:
    """(H, M, Fs) int32 and (H, M) bool, newest session first, slots cut or padded to the graphs'.

    vary: H is as the user has them; see `Lengths.sessions_of`.
    """
    keys = None if record is None else record.item_keys
    held = 0 if keys is None else min(len(keys), lengths.sessions)
    shape = lengths.padded_session_count(held, dynamic=vary), lengths.session_slots
    one = encoder.request_encoder
    if record is None:
        return np.zeros((*shape, one.session_width), dtype=np.int32), np.zeros(shape, dtype=bool)
    return one.encode_sessions(record, table, shape)


def _override(
    into: EmbeddingIndices, encoder: FeatureEncoder, name: str, values: Sequence[Any]
) -> None:
    """Write an item-scope column of the request over the table's, where it has a value."""
    at, width = encoder.item_column_spans[name]
    given = np.fromiter((v is not None for v in values), dtype=bool, count=len(values))
    try:
        rows = encoder.encode_field(name, [v for v in values if v is not None])
    except ValueRejected as error:
        raise _located(error, _FEATURES) from error
    into[given, at : at + width] = rows


def _require_known(
    name: str,
    takes: Mapping[str, FittedField],
    where: str,
    beside: Mapping[str, FittedField] = MappingProxyType({}),
) -> None:
    """Raise ValueRejected for a field that this place of a request does not take."""
    if name in _OFFERED:
        raise ValueRejected(field=f"{where}.{name}", rule=_OFFERED[name])
    if name not in takes:
        names = sorted({*takes, *beside} - set(_OFFERED))
        raise ValueRejected(field=f"{where}.{name}", rule=f"is none of {names}")


def _located(error: ValueRejected, where: str) -> ValueRejected:
    """Name the place in the request, not only the field, of a value that the encoder refuses."""
    return ValueRejected(field=f"{where}.{error.field}", rule=error.rule)
