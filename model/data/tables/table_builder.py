"""Canonical log -> LogTables: split, fit the schema on the training part, encode, find sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model.contract.encoding.encoder import EmbeddingIndices, FeatureEncoder
from model.contract.schema.declared import (
    ITEM_ID,
    DeclaredSchema,
    FieldKind,
    FieldScope,
)
from model.contract.schema.fitted import FittedSchema
from model.contract.schema.item_table import ItemTable
from model.data.log.impressions import Impressions
from model.data.log.limits import ListLimits
from model.data.log.log_reader import EntityTable, list_log_files
from model.data.log.ragged import IntArray
from model.data.tables.encoded_columns import (
    encode_request_columns,
    encode_session_columns,
    encoder_values,
)
from model.data.tables.log_tables import LogTables, UserTable
from model.data.tables.log_validation import validate_log

DEFAULT_HISTORY_LENGTH = 10  # H, the default


def build_log_tables(
    log_dir: Path, *, history_length: int = DEFAULT_HISTORY_LENGTH, limits: ListLimits | None = None
) -> LogTables:
    """Read, check and encode a canonical log.

    Args:
        log_dir: folder of the log.
        history_length: H, past sessions of a user that a row sees.
        limits: longest lists that the log may hold.

    Raises:
        LogError: names file, row, column and rule. SchemaError: schema.toml breaks a rule.
    """
    valid = validate_log(log_dir, limits)
    log, schema, training = valid.log, valid.schema, valid.training
    rows = log.impressions
    encoder = FeatureEncoder(schema)
    order = _time_order(rows)
    users = _users(log.users, encoder, training.user_ids)
    return LogTables(
        schema=schema,
        declared_schema=log.declared_schema,
        info=log.info,
        items=_items(log.items, encoder, training.item_ids, log.declared_schema),
        users=users,
        part=valid.part[order],
        user_rows=_user_rows(rows, encoder, users)[order],
        fingerprint=log_fingerprint(log_dir),
        **vars(encode_request_columns(log, encoder, order)),
        **vars(encode_session_columns(log, encoder, order, history_length)),
    )


def log_fingerprint(log_dir: Path) -> str:
    """Hash of the names and bytes of the log's files."""
    whole = hashlib.sha256()
    for path in list_log_files(log_dir):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(log_dir).as_posix()} {digest}\n".encode())
    return whole.hexdigest()[:32]


def _time_order(rows: Impressions) -> IntArray:
    keys = pa.table({"timestamp": rows.timestamp, "request_id": rows.request_ids})
    by = [("timestamp", "ascending"), ("request_id", "ascending")]
    return np.asarray(pc.sort_indices(keys, sort_keys=by), dtype=np.int64)


def _vocabulary_places(held: EntityTable, ids: Sequence[str]) -> IntArray:
    """(n,) place of each held id in the fitted vocabulary, -1 outside it."""
    at = pc.index_in(held.ids, value_set=pa.array(ids, pa.large_string()))
    return np.asarray(pc.fill_null(at, -1), dtype=np.int64)


def _raw(held: EntityTable, schema: FittedSchema, scope: FieldScope) -> dict[str, Sequence[Any]]:
    declared = [f.name for f in schema.fields_in_scopes(scope) if f.name in held.columns]
    return {name: encoder_values(held.columns[name]) for name in declared}


def _items(
    held: EntityTable, encoder: FeatureEncoder, ids: Sequence[str], declared: DeclaredSchema
) -> ItemTable:
    places = _vocabulary_places(held, ids)
    numeric = [
        spec.name
        for spec in declared.fields_in_scope(FieldScope.ITEM)
        if spec.kind is FieldKind.NUMERIC
    ]
    return ItemTable(
        ids=held.ids.to_pylist(),
        rows=encoder.encode_items(places, _raw(held, encoder.schema, FieldScope.ITEM)),
        default_row=encoder.default_item_row,
        numbers={name: np.asarray(held.columns[name], dtype=np.float32) for name in numeric},
        display={role: _texts(held, column) for role, column in declared.display.items()},
    )


def _texts(held: EntityTable, column: str) -> list[str]:
    values = held.ids if column == ITEM_ID else held.columns[column]
    return [text or "" for text in values.to_pylist()]


def _users(held: EntityTable, encoder: FeatureEncoder, ids: Sequence[str]) -> UserTable:
    places = _vocabulary_places(held, ids)
    rows = encoder.encode_users(places, _raw(held, encoder.schema, FieldScope.USER))
    return UserTable(ids=held.ids.to_pylist(), rows=rows)


def _user_rows(rows: Impressions, encoder: FeatureEncoder, users: UserTable) -> EmbeddingIndices:
    context = {name: encoder_values(column) for name, column in rows.context_values.items()}
    encoded = encoder.encode_context(len(rows.timestamp), context)
    return np.concatenate([users.rows[rows.user_index], encoded], axis=1)
