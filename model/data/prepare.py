"""Canonical log -> LogTables: split, fit the schema on the training part, encode, find sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.contract.encode import Encoder, Rows
from model.contract.fitted import FittedSchema
from model.contract.items import ItemTable
from model.contract.schema import ITEM_ID, UPSTREAM_RAW_SCORE, Kind, Schema, Scope
from model.data.canonical import CanonicalLog, Entities, log_files, read_log
from model.data.checks import Limits
from model.data.fit import TrainingPart, by_frequency, fit_schema
from model.data.impressions import Impressions
from model.data.log_tables import LogTables, UserTable
from model.data.ragged import Ints
from model.data.request_arrays import raw_values, request_arrays, session_arrays
from model.data.split import TRAIN, split_rows

SESSIONS = 10  # H, the default


def prepare(log_dir: Path, *, sessions: int = SESSIONS, limits: Limits | None = None) -> LogTables:
    """Read, check and encode a canonical log.

    Args:
        log_dir: the log's folder.
        sessions: H, past sessions of a user that a row sees.
        limits: how long the log's lists may be.
    """
    log = read_log(log_dir, limits)
    rows = log.impressions
    part = split_rows(rows.user_place, rows.timestamp, log.users.ids.to_pylist(), log.info)
    training = _training_part(log, part == TRAIN)
    schema = fit_schema(log.declared, training)
    encoder = Encoder(schema)
    order = _time_order(rows)
    users = _users(log.users, encoder, training.user_ids)
    return LogTables(
        schema=schema,
        declared=log.declared,
        info=log.info,
        items=_items(log.items, encoder, training.item_ids, log.declared),
        users=users,
        part=part[order],
        user_rows=_user_rows(rows, encoder, users)[order],
        fingerprint=fingerprint(log_dir),
        **vars(request_arrays(log, encoder, order)),
        **vars(session_arrays(log, encoder, order, sessions)),
    )


def fingerprint(log_dir: Path) -> str:
    """Hash of the names and bytes of the log's files."""
    whole = hashlib.sha256()
    for path in log_files(log_dir):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(log_dir).as_posix()} {digest}\n".encode())
    return whole.hexdigest()[:32]


def _time_order(rows: Impressions) -> Ints:
    keys = pa.table({"timestamp": rows.timestamp, "request_id": rows.request_ids})
    by = [("timestamp", "ascending"), ("request_id", "ascending")]
    return np.asarray(pc.sort_indices(keys, sort_keys=by), dtype=np.int64)


def _training_part(log: CanonicalLog, training: NDArray[np.bool_]) -> TrainingPart:
    rows = log.impressions
    offered = training[rows.candidates.rows]
    items = log.items.ids.take(pa.array(rows.candidates.values[offered]))
    users = log.users.ids.take(pa.array(rows.user_place[training]))
    item_ids, user_ids = (by_frequency(ids, len(ids)) for ids in (items, users))
    seen_items = pc.is_in(log.items.ids, value_set=pa.array(item_ids, pa.large_string()))
    seen_users = pc.is_in(log.users.ids, value_set=pa.array(user_ids, pa.large_string()))
    columns = {name: column.filter(seen_items) for name, column in log.items.values.items()}
    columns |= {name: column.filter(seen_users) for name, column in log.users.values.items()}
    of_rows, of_candidates = pa.array(training), pa.array(offered)
    columns |= {name: column.filter(of_rows) for name, column in rows.context.items()}
    columns |= {name: c.filter(of_candidates) for name, c in rows.candidate_values.items()}
    columns[UPSTREAM_RAW_SCORE] = pa.array(rows.scores[offered], from_pandas=True)  # NaN: no score
    return TrainingPart(item_ids=item_ids, user_ids=user_ids, columns=columns)


def _vocabulary_places(held: Entities, ids: Sequence[str]) -> Ints:
    """(n,) place of each held id in the fitted vocabulary, -1 outside it."""
    at = pc.index_in(held.ids, value_set=pa.array(ids, pa.large_string()))
    return np.asarray(pc.fill_null(at, -1), dtype=np.int64)


def _raw(held: Entities, schema: FittedSchema, scope: Scope) -> dict[str, Sequence[Any]]:
    declared = [f.name for f in schema.of(scope) if f.name in held.values]
    return {name: raw_values(held.values[name]) for name in declared}


def _items(held: Entities, encoder: Encoder, ids: Sequence[str], declared: Schema) -> ItemTable:
    places = _vocabulary_places(held, ids)
    numeric = [spec.name for spec in declared.fields(Scope.ITEM) if spec.kind is Kind.NUMERIC]
    return ItemTable(
        ids=held.ids.to_pylist(),
        rows=encoder.encode_items(places, _raw(held, encoder.schema, Scope.ITEM)),
        default_row=encoder.default_item,
        numbers={name: np.asarray(held.values[name], dtype=np.float32) for name in numeric},
        display={role: _texts(held, column) for role, column in declared.display.items()},
    )


def _texts(held: Entities, column: str) -> list[str]:
    values = held.ids if column == ITEM_ID else held.values[column]
    return [text or "" for text in values.to_pylist()]


def _users(held: Entities, encoder: Encoder, ids: Sequence[str]) -> UserTable:
    places = _vocabulary_places(held, ids)
    rows = encoder.encode_users(places, _raw(held, encoder.schema, Scope.USER))
    return UserTable(ids=held.ids.to_pylist(), rows=rows)


def _user_rows(rows: Impressions, encoder: Encoder, users: UserTable) -> Rows:
    context = {name: raw_values(column) for name, column in rows.context.items()}
    encoded = encoder.encode_context(len(rows.timestamp), context)
    return np.concatenate([users.rows[rows.user_place], encoded], axis=1)
