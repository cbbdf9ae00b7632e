"""The only encoder: raw values -> rows of the embedding table. Training and serving both call it.

It reads no files and holds no data; unknown and missing values follow the fitted schema's rule.
Every function works on flat sequences or on padded arrays with any number of leading dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.encoding.column_values import (
    RawValues,
    numeric_column,
    string_column,
    string_list_column,
)
from model.contract.encoding.request_encoder import RequestEncoder
from model.contract.errors import ValueRejected
from model.contract.schema.declared import (
    CLICKED,
    CONVERTED,
    ITEM_ID,
    UPSTREAM_RANK,
    UPSTREAM_RAW_SCORE,
    UPSTREAM_SCORE,
    USER_ID,
    FieldKind,
    FieldScope,
)
from model.contract.schema.fitted import (
    FIRST_VALUE_OFFSET,
    PADDING_INDEX,
    EmbeddingIndices,
    FittedField,
    FittedSchema,
    column_count,
    column_spans,
)


class FeatureEncoder:
    """Encodes values by one fitted schema. Stateless after construction, safe to share."""

    def __init__(self, schema: FittedSchema) -> None:
        self.schema = schema
        self._value_offsets = {
            f.name: {value: FIRST_VALUE_OFFSET + i for i, value in enumerate(f.values or ())}
            for f in schema.fields
        }
        self.bucketizers = {
            f.name: self._edges_and_indices(f) for f in schema.fields if f.edges is not None
        }
        self.item_column_spans = _named_spans(schema.fields_in_scopes(FieldScope.ITEM))
        self.candidate_column_spans = _named_spans(schema.candidate_fields)

    def encode_field(self, name: str, values: RawValues) -> EmbeddingIndices:
        """Encode one flat column of raw values.

        Args:
            name: a declared field (ids and what is ranked within a request have their own ways).
            values: n raw values; None (numeric: NaN too) is a gap; multi takes sequences of str.

        Returns:
            (n, width) int32, rows of the embedding table; unused columns of a multi field are
            padding.

        Raises:
            ValueRejected: a value of a type that the field's kind does not take.
        """
        field = self.schema.field(name)
        if field.kind is FieldKind.ID or field.rank_buckets:
            raise ValueError(f"{name} is not encoded from its own column alone")
        if field.kind is FieldKind.NUMERIC:
            return self.bucketize(name, numeric_column(name, values))[:, None]
        if field.kind is FieldKind.MULTI:
            return self._multi(field, values)
        return self._categorical(field, values)[:, None]

    def encode_ids(
        self, name: str, vocabulary_indices: NDArray[np.integer[Any]]
    ) -> EmbeddingIndices:
        """Encode ids given by their place in the fitted vocabulary; -1 is an unknown id.

        Args:
            name: `item_id` or `user_id`.
            vocabulary_indices: any shape of int, -1 or 0..size-1.

        Returns:
            Same shape, int32 rows.
        """
        field = self.schema.field(name)
        if vocabulary_indices.size and vocabulary_indices.max() >= field.size:
            raise ValueError(f"{name} has {field.size} ids, no place {vocabulary_indices.max()}")
        local = np.where(
            vocabulary_indices < 0,
            field.unknown,
            vocabulary_indices.astype(np.int64) + FIRST_VALUE_OFFSET,
        )
        return (local + self.schema.block_starts[name]).astype(np.int32)

    def encode_items(
        self, vocabulary_indices: NDArray[np.integer[Any]], values: Mapping[str, Sequence[Any]]
    ) -> EmbeddingIndices:
        """Encode items: (n, Fi) int32, `item_id` first. A column that is absent is a gap."""
        return self._encode_entities(ITEM_ID, FieldScope.ITEM, vocabulary_indices, values)

    def encode_users(
        self, vocabulary_indices: NDArray[np.integer[Any]], values: Mapping[str, Sequence[Any]]
    ) -> EmbeddingIndices:
        """Encode users without context: (n, user columns) int32, `user_id` first."""
        return self._encode_entities(USER_ID, FieldScope.USER, vocabulary_indices, values)

    def encode_context(self, count: int, values: Mapping[str, Sequence[Any]]) -> EmbeddingIndices:
        """Encode request context: (count, context columns) int32."""
        return self._encode_columns(self.schema.fields_in_scopes(FieldScope.CONTEXT), count, values)

    def encode_feedback(
        self, clicks: NDArray[Any], conversions: NDArray[Any] | None
    ) -> EmbeddingIndices:
        """Encode feedback on past items.

        Args:
            clicks: any shape of 0/1.
            conversions: same shape of 0/1 or -1 (not known); None when nothing is known.

        Returns:
            clicks.shape + (2,) int32: clicked, converted.
        """
        first = self.schema.block_starts
        if conversions is None:
            conversions = np.full(clicks.shape, -1)
        known = np.where(
            conversions < 0,
            self.schema.field(CONVERTED).missing,
            FIRST_VALUE_OFFSET + conversions.astype(np.int32),
        )
        clicked = (
            FIRST_VALUE_OFFSET + clicks.astype(np.int32) + first[CLICKED]
        )  # labels come as int8
        return np.stack([clicked, known + first[CONVERTED]], axis=-1).astype(np.int32)

    def encode_candidate_scope(
        self,
        scores: NDArray[np.floating[Any]] | None,
        valid: NDArray[np.bool_],
        values: Mapping[str, Sequence[Any]],
    ) -> EmbeddingIndices:
        """Encode what is true of the candidates only in this request.

        Args:
            scores: (..., N) upstream scores, NaN where there is none; None when no score is known.
            valid: (..., N) bool, True for a real candidate.
            values: declared candidate-scope fields, each flat over the *valid* candidates in
                C order.

        Returns:
            (..., N, candidate columns) int32, padding where not valid.
        """
        fields = self.schema.fields_in_scopes(FieldScope.CANDIDATE)
        out = np.full((*valid.shape, column_count(fields)), PADDING_INDEX, dtype=np.int32)
        known = np.full(valid.shape, np.nan) if scores is None else scores
        offered = {UPSTREAM_RAW_SCORE: known, UPSTREAM_RANK: np.arange(valid.shape[-1])}
        for field, (at, width) in zip(fields, column_spans(fields), strict=True):
            if field.name == UPSTREAM_SCORE:
                out[..., at] = self._rank_quantile(field, known, valid)
            elif field.name in offered:
                out[..., at] = self.bucketize(field.name, offered[field.name])
            else:
                out[..., at : at + width][valid] = self._encode_column_or_missing(
                    field, int(valid.sum()), values
                )
        out[~valid] = PADDING_INDEX
        return out

    def bucketize(self, name: str, values: NDArray[Any]) -> EmbeddingIndices:
        """Same shape of int32, the rows of a numeric field's numbers; NaN is a gap."""
        edges, rows = self.bucketizers[name]
        return rows.take(edges.searchsorted(values, side="right"))

    @cached_property
    def request_encoder(self) -> RequestEncoder:
        """The same encoding for candidates of one request, faster."""
        return RequestEncoder(self)

    @cached_property
    def default_item_row(self) -> EmbeddingIndices:
        """(Fi,) the row of an unknown item: unknown id, every field a gap."""
        return self.encode_items(np.array([-1]), {})[0]

    @cached_property
    def default_user_row(self) -> EmbeddingIndices:
        """(user columns,) the row of an unknown user."""
        return self.encode_users(np.array([-1]), {})[0]

    def _encode_entities(
        self,
        id_name: str,
        scope: FieldScope,
        places: NDArray[np.integer[Any]],
        values: Mapping[str, Sequence[Any]],
    ) -> EmbeddingIndices:
        declared = tuple(
            f for f in self.schema.fields_in_scopes(scope) if f.kind is not FieldKind.ID
        )
        ids = self.encode_ids(id_name, places)[:, None]
        return np.concatenate([ids, self._encode_columns(declared, len(places), values)], axis=1)

    def _encode_columns(
        self, fields: Sequence[FittedField], count: int, values: Mapping[str, Sequence[Any]]
    ) -> EmbeddingIndices:
        parts = [self._encode_column_or_missing(f, count, values) for f in fields]
        return np.concatenate(parts, axis=1) if parts else np.zeros((count, 0), dtype=np.int32)

    def _encode_column_or_missing(
        self, field: FittedField, count: int, values: Mapping[str, Sequence[Any]]
    ) -> EmbeddingIndices:
        """The field's column, or gaps when the column is absent."""
        column = values.get(field.name)
        if column is None:
            column = [None] * count
        elif len(column) != count:
            raise ValueRejected(field=field.name, rule=f"{len(column)} values, {count} expected")
        return self.encode_field(field.name, column)

    def _edges_and_indices(
        self, field: FittedField
    ) -> tuple[NDArray[np.float64], EmbeddingIndices]:
        """Edges with NaN behind them, where every NaN falls behind; the row of each bucket."""
        local = [*range(FIRST_VALUE_OFFSET, FIRST_VALUE_OFFSET + field.size), field.missing]
        rows = np.asarray(local, dtype=np.int32) + np.int32(self.schema.block_starts[field.name])
        return np.asarray([*(field.edges or ()), np.nan], dtype=np.float64), rows

    def _rank_quantile(
        self, field: FittedField, scores: NDArray[np.floating[Any]], valid: NDArray[np.bool_]
    ) -> EmbeddingIndices:
        """Bucket by the share of scored candidates of the request that score strictly higher."""
        buckets = field.rank_buckets or field.size
        known = valid & ~np.isnan(scores)
        order = np.argsort(np.where(known, -scores, np.inf), axis=-1, kind="stable")
        ordered = np.take_along_axis(np.where(known, scores, -np.inf), order, axis=-1)
        place = np.broadcast_to(np.arange(scores.shape[-1]), scores.shape)
        new_run = np.ones(scores.shape, dtype=bool)
        new_run[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
        higher = np.maximum.accumulate(np.where(new_run, place, 0), axis=-1)
        total = np.maximum(known.sum(axis=-1, keepdims=True), 1)
        bucket = np.empty(scores.shape, dtype=np.int64)
        np.put_along_axis(bucket, order, higher * buckets // total, axis=-1)
        local = np.where(known, FIRST_VALUE_OFFSET + np.minimum(bucket, buckets - 1), field.missing)
        return (local + self.schema.block_starts[field.name]).astype(np.int32)

    def _categorical(self, field: FittedField, values: RawValues) -> EmbeddingIndices:
        get, unknown, missing = self._value_offsets[field.name].get, field.unknown, field.missing
        local = [
            missing if v is None else get(v, unknown) for v in string_column(field.name, values)
        ]
        return np.asarray(local, dtype=np.int32) + np.int32(self.schema.block_starts[field.name])

    def _multi(self, field: FittedField, values: RawValues) -> EmbeddingIndices:
        get, first = self._value_offsets[field.name].get, self.schema.block_starts[field.name]
        rows = []
        for value in string_list_column(field.name, values):
            row = [first + get(v, field.unknown) for v in value[: field.width]]
            row = row or [first + field.missing]
            rows.append(row + [PADDING_INDEX] * (field.width - len(row)))
        return np.asarray(rows, dtype=np.int32).reshape(-1, field.width)


def _named_spans(fields: Sequence[FittedField]) -> dict[str, tuple[int, int]]:
    return {f.name: span for f, span in zip(fields, column_spans(fields), strict=True)}
