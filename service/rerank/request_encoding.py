"""A checked request and a user's record -> arrays that the graphs take, with B = 1.

The contract's encoder turns values into rows; this module only chooses the values.
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
_FED_BY_SCORE = "is fed by `score`"
# Fields that a request gives by other means than `features`, with the reason.
_DERIVED_FIELDS = {
    UPSTREAM_SCORE: _FED_BY_SCORE,
    UPSTREAM_RAW_SCORE: _FED_BY_SCORE,
    UPSTREAM_RANK: "is the candidates' order",
}


@dataclass(slots=True)  # not frozen: a frozen class makes one extra call for each field
class EncodedCandidates:
    """Encoded candidates of one request.

    rows: (N, Fc) int32.
    row_indices: (N,) int64 rows of the item table, -1 for an unknown item.
    table: the item table that was read; a refresh may have replaced it in the model since.
    unknown: number of candidates that are not in the table.
    """

    rows: EmbeddingIndices
    row_indices: NDArray[np.int64]
    table: ItemTable
    unknown: int


def encode_candidates(
    request: RerankRequest, encoder: FeatureEncoder, table: ItemTable
) -> EncodedCandidates:
    """Encode item fields from the table, overrides from the request, and candidate-scope fields.

    For a null, an item-scope field keeps the table's value and a candidate-scope field is missing.
    Raises ValueRejected for a field outside the schema or a value of a wrong type.
    """
    one = encoder.request_encoder
    candidate_scope: dict[str, Sequence[Any]] = {}
    overrides: dict[str, Sequence[Any]] = {}
    for name, values in request.features.items():
        if name in one.candidate_fields and name not in _DERIVED_FIELDS:
            candidate_scope[name] = values
        else:
            _require_known(name, one.item_fields, _FEATURES, one.candidate_fields)
            overrides[name] = values
    row_indices = table.row_indices(request.item_ids)
    try:
        rows, unknown = one.encode_candidates(
            row_indices, table.rows_with_default, request.scores, candidate_scope
        )
    except ValueRejected as error:
        raise _with_location(error, _FEATURES) from error
    for name, values in overrides.items():
        _override_item_field(rows, encoder, name, values)
    return EncodedCandidates(rows, row_indices, table, unknown)


def encode_user(
    record: UserRecord | None, context: Mapping[str, Any], encoder: FeatureEncoder
) -> EmbeddingIndices:
    """(Fu,) int32 rows of the record (of the default user for None) and of the context fields."""
    stored = encoder.default_user_row if record is None else record.user_columns
    one = encoder.request_encoder
    if not context:
        default = one.default_context
        return np.concatenate([stored, default]) if len(default) else stored
    for name in context:
        _require_known(name, one.context_fields, "context")
    try:
        encoded = encoder.encode_context(1, {name: [value] for name, value in context.items()})
    except ValueRejected as error:
        raise _with_location(error, "context") from error
    return np.concatenate([stored, encoded[0]])


def matches_schema(record: UserRecord, encoder: FeatureEncoder) -> bool:
    """Whether the record has as many columns as the schema, all of them valid embedding rows."""
    rows = record.user_columns.tolist()
    if len(rows) != len(encoder.default_user_row):
        return False
    return not rows or (min(rows) >= 0 and max(rows) < encoder.schema.num_embeddings)


def encode_sessions(
    record: UserRecord | None,
    encoder: FeatureEncoder,
    table: ItemTable,
    *,
    lengths: GraphSizes,
    vary: bool,
) -> tuple[EmbeddingIndices, NDArray[np.bool_]]:
    """(H, M, Fs) int32 and (H, M) bool, newest session first, slots cut or padded.

    Args:
        record: the user's record, or None for a user without one.
        encoder: the encoder of the artifact's schema.
        table: the item table of this request.
        lengths: sizes of the graphs.
        vary: whether H depends on the user's history, see `Lengths.sessions_of`.
    """
    keys = None if record is None else record.item_keys
    count = 0 if keys is None else min(len(keys), lengths.sessions)
    shape = lengths.padded_session_count(count, dynamic=vary), lengths.session_slots
    one = encoder.request_encoder
    if record is None:
        return np.zeros((*shape, one.session_width), dtype=np.int32), np.zeros(shape, dtype=bool)
    return one.encode_sessions(record, table, shape)


def _override_item_field(
    rows: EmbeddingIndices, encoder: FeatureEncoder, name: str, values: Sequence[Any]
) -> None:
    """Write an item-scope field of the request over the table's rows, except for nulls."""
    start, width = encoder.item_column_spans[name]
    present = np.fromiter((v is not None for v in values), dtype=bool, count=len(values))
    try:
        encoded = encoder.encode_field(name, [v for v in values if v is not None])
    except ValueRejected as error:
        raise _with_location(error, _FEATURES) from error
    rows[present, start : start + width] = encoded


def _require_known(
    name: str,
    fields: Mapping[str, FittedField],
    location: str,
    alternatives: Mapping[str, FittedField] = MappingProxyType({}),
) -> None:
    """Raise ValueRejected for a field that this part of a request does not accept."""
    if name in _DERIVED_FIELDS:
        raise ValueRejected(field=f"{location}.{name}", rule=_DERIVED_FIELDS[name])
    if name not in fields:
        names = sorted({*fields, *alternatives} - set(_DERIVED_FIELDS))
        raise ValueRejected(field=f"{location}.{name}", rule=f"is none of {names}")


def _with_location(error: ValueRejected, location: str) -> ValueRejected:
    """The same error with the path of the field in the request."""
    return ValueRejected(field=f"{location}.{error.field}", rule=error.rule)
