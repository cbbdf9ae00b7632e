"""The reference service's encoding: raw values of a request -> graph inputs, in plain numpy.

It does not check types: a value of a wrong type raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.artifact.manifest import Manifest
from model.contract.schema.declared import (
    CLICKED,
    CONVERTED,
    UPSTREAM_RANK,
    UPSTREAM_RAW_SCORE,
    UPSTREAM_SCORE,
    FieldKind,
    FieldScope,
)
from model.contract.schema.fitted import (
    FIRST_VALUE_OFFSET,
    PADDING_INDEX,
    FittedField,
    column_count,
)
from model.contract.schema.item_table import ItemTable
from model.contract.store.user_record import UserRecord

ReferenceArrays = dict[str, NDArray[Any]]


class ReferenceEncoder:
    """Looks rows up in the item table and buckets numbers."""

    def __init__(self, manifest: Manifest, table: ItemTable) -> None:
        self.schema, self.lengths, self.table = manifest.features, manifest.lengths, table
        self.item_rows = np.concatenate([table.rows, table.default_row[None]])
        self.fields_by_scope = {
            scope: [f for f in self.schema.fields_in_scopes(scope) if f.kind is not FieldKind.ID]
            for scope in FieldScope
        }

    def encode_candidates(
        self,
        ids: Sequence[str],
        scores: Sequence[float | None] | None,
        features: dict[str, list[Any]],
    ) -> ReferenceArrays:
        """(1, N, Fc): item columns with the request's overrides, then candidate columns."""
        items = self.item_rows[[self.table.index_by_id.get(item, -1) for item in ids]]
        at = 1  # after the id
        for field in self.fields_by_scope[FieldScope.ITEM]:
            given = features.get(field.name, [])
            for row, value in enumerate(given):
                if value is not None:
                    items[row, at : at + field.width] = self._encode(field, [value])
            at += field.width
        own = []
        for field in self.fields_by_scope[FieldScope.CANDIDATE]:
            if field.name == UPSTREAM_SCORE:
                own.append(self._ranked(field, scores, len(ids)))
            elif field.name == UPSTREAM_RAW_SCORE:
                own.append(self._encode(field, scores or [None] * len(ids)))
            elif field.name == UPSTREAM_RANK:
                own.append(self._encode(field, range(len(ids))))
            else:
                own.append(self._encode(field, features.get(field.name, [None] * len(ids))))
        return {"candidates": np.concatenate([items, *own], axis=1)[None]}

    def encode_user(self, record: UserRecord | None, context: dict[str, Any]) -> ReferenceArrays:
        """(1, Fu) user and context, (1, H, M, Fs) sessions with their mask."""
        stored = self._unknown_user() if record is None else record.user_columns
        given = [
            self._encode(f, [context.get(f.name)])[0]
            for f in self.fields_by_scope[FieldScope.CONTEXT]
        ]
        h, m = self.lengths.sessions, self.lengths.session_slots
        rows = np.full(
            (h, m, column_count(self.schema.session_fields)), PADDING_INDEX, dtype=np.int32
        )
        valid = np.zeros((h, m), dtype=bool)
        if record is not None:
            clicked = record.clicked[:h, :m]
            held, slots = clicked.shape
            valid[:held, :slots] = clicked >= 0
            items = self.item_rows[self.table.row_indices_of_keys(record.item_keys[:h, :m])]
            converted = record.converted[:h, :m].astype(np.int32)
            first = self.schema.block_starts
            unknown = self.schema.field(CONVERTED).missing
            feedback = [
                first[CLICKED] + FIRST_VALUE_OFFSET + clicked.astype(np.int32),
                first[CONVERTED] + np.where(converted < 0, unknown, FIRST_VALUE_OFFSET + converted),
            ]
            rows[:held, :slots] = np.concatenate([items, np.stack(feedback, axis=-1)], axis=-1)
            rows[~valid] = PADDING_INDEX
        return {
            "user": np.concatenate([stored, *given]).astype(np.int32)[None],
            "sessions": rows[None],
            "sess_valid": valid[None],
        }

    def _unknown_user(self) -> NDArray[np.int32]:
        return np.array(
            [
                self.schema.block_starts[f.name]
                + (f.unknown if f.kind is FieldKind.ID else f.missing)
                for f in self.schema.fields_in_scopes(FieldScope.USER)
            ],
            dtype=np.int32,
        )

    def _encode(self, field: FittedField, values: Sequence[Any]) -> NDArray[np.int32]:
        """(n, width) rows of the embedding table."""
        first = self.schema.block_starts[field.name]
        if field.kind is FieldKind.NUMERIC:
            number = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
            bucket = FIRST_VALUE_OFFSET + np.searchsorted(
                np.array(field.edges), number, side="right"
            )
            local = np.where(np.isnan(number), field.missing, bucket)[:, None]
            return (first + local).astype(np.int32)
        places = field.value_offsets
        rows = []
        for value in values:
            several = value if field.kind is FieldKind.MULTI else [value]
            held = [
                first + places.get(v, field.unknown)
                for v in (several or [])[: field.width]
                if v is not None
            ] or [first + field.missing]
            rows.append(held + [PADDING_INDEX] * (field.width - len(held)))
        return np.array(rows, dtype=np.int32)

    def _ranked(
        self, field: FittedField, scores: Sequence[float | None] | None, count: int
    ) -> NDArray[np.int32]:
        """Bucket by the share of scored candidates that score higher."""
        number = np.array(
            [np.nan if s is None else s for s in scores or [None] * count], dtype=np.float64
        )
        known = np.sort(number[~np.isnan(number)])
        higher = len(known) - np.searchsorted(known, number, side="right")
        buckets = field.rank_buckets or field.size
        bucket = np.minimum(higher * buckets // max(len(known), 1), buckets - 1)
        local = np.where(np.isnan(number), field.missing, FIRST_VALUE_OFFSET + bucket)
        return (self.schema.block_starts[field.name] + local).astype(np.int32)[:, None]
