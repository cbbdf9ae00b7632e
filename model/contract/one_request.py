"""Candidates and sessions of one request: `Encoder`'s ways without its batches.

A trick for the request path: arrays of any shape with padding in them cost about 20 numpy calls a
request; one request's candidates are all real, so rows are looked up in small tables made once, by
compiled loops. Measured 2026-11-21 and -22, N = 100, with the item rows: 109 -> 24 -> 14 us. That
both encode alike, bit by bit, is a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import ValueRejected
from model.contract.fitted import FIRST_VALUE, PADDING_ROW, FittedField, columns, spans
from model.contract.kernels import (
    look_up_rows,
    look_up_sessions,
    place_by_rank,
    place_in_buckets,
)
from model.contract.raw_values import numbers
from model.contract.schema import UPSTREAM_RANK, UPSTREAM_RAW_SCORE, UPSTREAM_SCORE, Kind, Scope

if TYPE_CHECKING:
    from model.contract.encode import Encoder
    from model.contract.items import ItemTable
    from model.contract.store_layout import UserRecord

Rows = NDArray[np.int32]
_RANKS = 1024  # places whose row is known beforehand


class OneRequest:
    """Encodes requests one by one with an encoder's schema. Stateless after construction.

    item_fields, candidate_fields, context_fields: what a request may name, ids left out.
    default_context: (context columns,) the row of a request that gives none.
    feedback: (9, 2) rows of clicked and converted; see `encode_sessions`.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, schema = encoder, encoder.schema
        self.item_fields = _nameable(schema.of(Scope.ITEM))
        self.candidate_fields = _nameable(schema.of(Scope.CANDIDATE))
        self.context_fields = _nameable(schema.of(Scope.CONTEXT))
        self.default_context = encoder.encode_context(1, {})[0]
        self.feedback = _feedback_rows(encoder)
        self.item_width = columns(schema.of(Scope.ITEM))
        self.session_width = columns(schema.session_fields)
        offered = schema.of(Scope.CANDIDATE)
        self.width = self.item_width + columns(offered)
        places = {
            f.name: at + self.item_width for f, (at, _) in zip(offered, spans(offered), strict=True)
        }
        self._score_at, self._rank_at, self._raw_at = (
            places.pop(name, None) for name in (UPSTREAM_SCORE, UPSTREAM_RANK, UPSTREAM_RAW_SCORE)
        )
        self._own = {name: schema.field(name) for name in places}
        self._at = {name: slice(at, at + schema.field(name).width) for name, at in places.items()}
        self._gaps = np.empty(self.width - self.item_width, dtype=np.int32)
        for name, field in self._own.items():
            gap = encoder.encode_field(name, [None])[0]
            self._gaps[self._at[name].start - self.item_width :][: field.width] = gap
        if self._score_at is not None:
            self._score_rows = _score_rows(encoder)
            self._gaps[self._score_at - self.item_width] = self._score_rows[-1]
        if self._raw_at is not None:
            [[gap]] = encoder.encode_field(UPSTREAM_RAW_SCORE, [None])
            self._gaps[self._raw_at - self.item_width] = gap
        if self._rank_at is not None:
            self._rank_rows = self._ranks(_RANKS)
            self._gaps[self._rank_at - self.item_width] = PADDING_ROW  # nobody is without a rank

    def encode_candidates(
        self,
        places: NDArray[np.int64],
        table: Rows,
        scores: NDArray[np.float64] | None,
        values: Mapping[str, Sequence[Any]],
    ) -> tuple[Rows, int]:
        """Rows of the table with the candidate-scope columns behind them: (N, Fc) int32.

        Also how many of the places are -1.

        Args:
            places: (N,) in the table, -1 for its last row.
            table: (n + 1, Fi) int32, `ItemTable.padded_rows`.
            scores: (N,) upstream scores, NaN where there is none; None when no score is known.
            values: declared candidate-scope fields, N values each.
        """
        count = len(places)
        for name, column in values.items():
            if len(column) != count:
                raise ValueRejected(field=name, rule=f"{len(column)} values, {count} expected")
        if scores is not None and len(scores) != count:
            raise ValueError(f"{len(scores)} scores of {count} candidates")
        rows = np.empty((count, self.width), dtype=np.int32)
        unknown = look_up_rows(places, table, self._gaps, rows)
        if self._rank_at is not None:
            rows[:, self._rank_at] = (
                self._rank_rows[:count] if count <= _RANKS else self._ranks(count)
            )
        if scores is not None:
            self._place_scores(scores, rows)
        for name, column in values.items():
            field = self._own[name]
            if field.kind is Kind.NUMERIC:
                edges, of_buckets = self.encoder.buckets[name]
                at = self._at[name].start
                place_in_buckets(numbers(name, column), edges, of_buckets, at, rows)
            else:
                rows[:, self._at[name]] = self.encoder.encode_field(name, column)
        return rows, unknown

    def encode_sessions(
        self, record: UserRecord, table: ItemTable, shape: tuple[int, int]
    ) -> tuple[Rows, NDArray[np.bool_]]:
        """Past items with their feedback behind them: (H, M, Fs) int32, and (H, M) bool.

        Sessions and slots beyond the shape are left out; what the record has not is padding.
        """
        rows = np.empty((*shape, self.session_width), dtype=np.int32)
        valid = np.empty(shape, dtype=bool)
        look_up_sessions(
            record.item_keys,
            record.clicked,
            record.converted,
            *table.by_key,
            table.padded_rows,
            self.feedback,
            rows,
            valid,
        )
        return rows, valid

    def _place_scores(self, scores: NDArray[np.float64], rows: Rows) -> None:
        """By the share of scored candidates that score strictly higher, and as they are."""
        if self._score_at is not None:
            ordered = scores.copy()
            ordered.sort()
            place_by_rank(scores, ordered, self._score_rows, self._score_at, rows)
        if self._raw_at is not None:
            place_in_buckets(scores, *self.encoder.buckets[UPSTREAM_RAW_SCORE], self._raw_at, rows)

    def _ranks(self, count: int) -> Rows:
        return self.encoder.encode_field(UPSTREAM_RANK, np.arange(count, dtype=np.float64))[:, 0]


def _nameable(fields: Sequence[FittedField]) -> dict[str, FittedField]:
    return {f.name: f for f in fields if f.kind is not Kind.ID}


def _feedback_rows(encoder: Encoder) -> Rows:
    """By 3 clicked + converted + 1: not clicked, clicked, and padding three times."""
    clicked, converted = np.repeat([0, 1], 3), np.tile([-1, 0, 1], 2)
    padding = np.full((3, 2), PADDING_ROW, dtype=np.int32)
    return np.concatenate([encoder.encode_feedback(clicked, converted), padding])


def _score_rows(encoder: Encoder) -> Rows:
    """(buckets + 1,) row of each bucket, then that of a gap."""
    field, first = encoder.schema.field(UPSTREAM_SCORE), encoder.schema.first_row[UPSTREAM_SCORE]
    buckets = field.rank_buckets or field.size
    local = [*range(FIRST_VALUE, FIRST_VALUE + buckets), field.missing]
    return np.asarray(local, dtype=np.int32) + np.int32(first)
