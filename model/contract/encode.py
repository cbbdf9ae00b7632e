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

from model.contract.errors import ValueRejected
from model.contract.fitted import (
    FIRST_VALUE,
    PADDING_ROW,
    FittedField,
    FittedSchema,
    columns,
    spans,
)
from model.contract.one_request import OneRequest
from model.contract.raw_values import Values, numbers, several, texts
from model.contract.schema import (
    CLICKED,
    CONVERTED,
    ITEM_ID,
    UPSTREAM_RANK,
    UPSTREAM_RAW_SCORE,
    UPSTREAM_SCORE,
    USER_ID,
    Kind,
    Scope,
)

Rows = NDArray[np.int32]


class Encoder:
    """Encodes values by one fitted schema. Stateless after construction, safe to share."""

    def __init__(self, schema: FittedSchema) -> None:
        self.schema = schema
        self._place = {
            f.name: {value: FIRST_VALUE + i for i, value in enumerate(f.values or ())}
            for f in schema.fields
        }
        self.buckets = {f.name: self._bucketed(f) for f in schema.fields if f.edges is not None}
        self.item_spans = _named_spans(schema.of(Scope.ITEM))
        self.candidate_spans = _named_spans(schema.candidate_fields)

    def encode_field(self, name: str, values: Values) -> Rows:
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
        if field.kind is Kind.ID or field.rank_buckets:
            raise ValueError(f"{name} is not encoded from its own column alone")
        if field.kind is Kind.NUMERIC:
            return self.in_buckets(name, numbers(name, values))[:, None]
        if field.kind is Kind.MULTI:
            return self._multi(field, values)
        return self._categorical(field, values)[:, None]

    def encode_ids(self, name: str, places: NDArray[np.integer[Any]]) -> Rows:
        """Encode ids given by their place in the fitted vocabulary; -1 is an unknown id.

        Args:
            name: `item_id` or `user_id`.
            places: any shape of int, -1 or 0..size-1.

        Returns:
            Same shape, int32 rows.
        """
        field = self.schema.field(name)
        if places.size and places.max() >= field.size:
            raise ValueError(f"{name} has {field.size} ids, no place {places.max()}")
        local = np.where(places < 0, field.unknown, places.astype(np.int64) + FIRST_VALUE)
        return (local + self.schema.first_row[name]).astype(np.int32)

    def encode_items(
        self, places: NDArray[np.integer[Any]], values: Mapping[str, Sequence[Any]]
    ) -> Rows:
        """Encode items: (n, Fi) int32, `item_id` first. A column that is absent is a gap."""
        return self._table(ITEM_ID, Scope.ITEM, places, values)

    def encode_users(
        self, places: NDArray[np.integer[Any]], values: Mapping[str, Sequence[Any]]
    ) -> Rows:
        """Encode users without context: (n, user columns) int32, `user_id` first."""
        return self._table(USER_ID, Scope.USER, places, values)

    def encode_context(self, count: int, values: Mapping[str, Sequence[Any]]) -> Rows:
        """Encode request context: (count, context columns) int32."""
        return self._columns(self.schema.of(Scope.CONTEXT), count, values)

    def encode_feedback(self, clicks: NDArray[Any], conversions: NDArray[Any] | None) -> Rows:
        """Encode feedback on past items.

        Args:
            clicks: any shape of 0/1.
            conversions: same shape of 0/1 or -1 (not known); None when nothing is known.

        Returns:
            clicks.shape + (2,) int32: clicked, converted.
        """
        first = self.schema.first_row
        if conversions is None:
            conversions = np.full(clicks.shape, -1)
        known = np.where(
            conversions < 0,
            self.schema.field(CONVERTED).missing,
            FIRST_VALUE + conversions.astype(np.int32),
        )
        clicked = FIRST_VALUE + clicks.astype(np.int32) + first[CLICKED]  # labels come as int8
        return np.stack([clicked, known + first[CONVERTED]], axis=-1).astype(np.int32)

    def encode_candidate_scope(
        self,
        scores: NDArray[np.floating[Any]] | None,
        valid: NDArray[np.bool_],
        values: Mapping[str, Sequence[Any]],
    ) -> Rows:
        """Encode what is true of the candidates only in this request.

        Args:
            scores: (..., N) upstream scores, NaN where there is none; None when no score is known.
            valid: (..., N) bool, True for a real candidate.
            values: declared candidate-scope fields, each flat over the *valid* candidates in
                C order.

        Returns:
            (..., N, candidate columns) int32, padding where not valid.
        """
        fields = self.schema.of(Scope.CANDIDATE)
        out = np.full((*valid.shape, columns(fields)), PADDING_ROW, dtype=np.int32)
        known = np.full(valid.shape, np.nan) if scores is None else scores
        offered = {UPSTREAM_RAW_SCORE: known, UPSTREAM_RANK: np.arange(valid.shape[-1])}
        for field, (at, width) in zip(fields, spans(fields), strict=True):
            if field.name == UPSTREAM_SCORE:
                out[..., at] = self._rank_quantile(field, known, valid)
            elif field.name in offered:
                out[..., at] = self.in_buckets(field.name, offered[field.name])
            else:
                out[..., at : at + width][valid] = self._given(field, int(valid.sum()), values)
        out[~valid] = PADDING_ROW
        return out

    def in_buckets(self, name: str, values: NDArray[Any]) -> Rows:
        """Same shape of int32, the rows of a numeric field's numbers; NaN is a gap."""
        edges, rows = self.buckets[name]
        return rows.take(edges.searchsorted(values, side="right"))

    @cached_property
    def one_request(self) -> OneRequest:
        """The same encoding for candidates of one request, faster."""
        return OneRequest(self)

    @cached_property
    def default_item(self) -> Rows:
        """(Fi,) the row of an item that nobody knows: unknown id, every field a gap."""
        return self.encode_items(np.array([-1]), {})[0]

    @cached_property
    def default_user(self) -> Rows:
        """(user columns,) the row of a user that nobody knows."""
        return self.encode_users(np.array([-1]), {})[0]

    def _table(
        self,
        id_name: str,
        scope: Scope,
        places: NDArray[np.integer[Any]],
        values: Mapping[str, Sequence[Any]],
    ) -> Rows:
        declared = tuple(f for f in self.schema.of(scope) if f.kind is not Kind.ID)
        ids = self.encode_ids(id_name, places)[:, None]
        return np.concatenate([ids, self._columns(declared, len(places), values)], axis=1)

    def _columns(
        self, fields: Sequence[FittedField], count: int, values: Mapping[str, Sequence[Any]]
    ) -> Rows:
        parts = [self._given(f, count, values) for f in fields]
        return np.concatenate(parts, axis=1) if parts else np.zeros((count, 0), dtype=np.int32)

    def _given(self, field: FittedField, count: int, values: Mapping[str, Sequence[Any]]) -> Rows:
        """The field's column, or gaps when the column is absent."""
        column = values.get(field.name)
        if column is None:
            column = [None] * count
        elif len(column) != count:
            raise ValueRejected(field=field.name, rule=f"{len(column)} values, {count} expected")
        return self.encode_field(field.name, column)

    def _bucketed(self, field: FittedField) -> tuple[NDArray[np.float64], Rows]:
        """Edges with NaN behind them, where every NaN falls behind; the row of each bucket."""
        local = [*range(FIRST_VALUE, FIRST_VALUE + field.size), field.missing]
        rows = np.asarray(local, dtype=np.int32) + np.int32(self.schema.first_row[field.name])
        return np.asarray([*(field.edges or ()), np.nan], dtype=np.float64), rows

    def _rank_quantile(
        self, field: FittedField, scores: NDArray[np.floating[Any]], valid: NDArray[np.bool_]
    ) -> Rows:
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
        local = np.where(known, FIRST_VALUE + np.minimum(bucket, buckets - 1), field.missing)
        return (local + self.schema.first_row[field.name]).astype(np.int32)

    def _categorical(self, field: FittedField, values: Values) -> Rows:
        get, unknown, missing = self._place[field.name].get, field.unknown, field.missing
        local = [missing if v is None else get(v, unknown) for v in texts(field.name, values)]
        return np.asarray(local, dtype=np.int32) + np.int32(self.schema.first_row[field.name])

    def _multi(self, field: FittedField, values: Values) -> Rows:
        get, first = self._place[field.name].get, self.schema.first_row[field.name]
        rows = []
        for value in several(field.name, values):
            row = [first + get(v, field.unknown) for v in value[: field.width]]
            row = row or [first + field.missing]
            rows.append(row + [PADDING_ROW] * (field.width - len(row)))
        return np.asarray(rows, dtype=np.int32).reshape(-1, field.width)


def _named_spans(fields: Sequence[FittedField]) -> dict[str, tuple[int, int]]:
    return {f.name: span for f, span in zip(fields, spans(fields), strict=True)}
