"""Candidate-scope columns of one request: `Encoder.encode_candidate_scope` without its batches.

A trick for the request path: arrays of any shape with padding in them cost about 20 numpy calls a
request; one request's candidates are all real, so rows are looked up in small tables made once.
Measured 2026-11-21, N = 100, with the item rows: 109 -> 24 us. That both encode alike, bit by bit,
is a test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from model.contract.errors import ValueRejected
from model.contract.fitted import FIRST_VALUE, PADDING_ROW, FittedField, columns, spans
from model.contract.schema import UPSTREAM_RANK, UPSTREAM_RAW_SCORE, UPSTREAM_SCORE, Kind, Scope

if TYPE_CHECKING:
    from model.contract.encode import Encoder

Rows = NDArray[np.int32]
_RANKS = 1024  # places whose row is known beforehand
_NO_SCORE = np.array([math.nan])


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
        self._own = [
            (name, slice(at, at + schema.field(name).width), encoder.encode_field(name, [None])[0])
            for name, at in places.items()
        ]
        if self._score_at is not None:
            self._score_rows, self._buckets = _score_rows(encoder)
            self._rows_by_place: dict[int, Rows] = {}
        if self._rank_at is not None:
            self._rank_rows = self._ranks(_RANKS)

    def encode_candidates(
        self,
        items: Rows,
        scores: NDArray[np.floating[Any]] | None,
        values: Mapping[str, Sequence[Any]],
    ) -> Rows:
        """Item rows with the candidate-scope columns behind them: (N, Fc) int32.

        Args:
            items: (N, Fi) int32.
            scores: (N,) upstream scores, NaN where there is none; None when no score is known.
            values: declared candidate-scope fields, N values each.
        """
        count = len(items)
        rows = np.empty((count, self.width), dtype=np.int32)
        rows[:, : self.item_width] = items
        if self._score_at is not None:
            rows[:, self._score_at] = self._score_column(scores)
        if self._rank_at is not None:
            rows[:, self._rank_at] = (
                self._rank_rows[:count] if count <= _RANKS else self._ranks(count)
            )
        if self._raw_at is not None:
            told = _NO_SCORE if scores is None else scores
            rows[:, self._raw_at] = self.encoder.in_buckets(UPSTREAM_RAW_SCORE, told)
        for name, at, gap in self._own:
            column = values.get(name)
            if column is not None and len(column) != count:
                raise ValueRejected(field=name, rule=f"{len(column)} values, {count} expected")
            rows[:, at] = gap if column is None else self.encoder.encode_field(name, column)
        return rows

    def encode_sessions(
        self, items: Rows, clicked: NDArray[np.int8], converted: NDArray[np.int8]
    ) -> Rows:
        """Past items with their feedback behind them: (H, M, Fs) int32, padding where empty.

        Args:
            items: (H, M, Fi) int32.
            clicked: (H, M) int8: 0, 1, -1 in an empty slot.
            converted: (H, M) int8: 0, 1, -1 not known.
        """
        rows = np.empty((*clicked.shape, self.item_width + 2), dtype=np.int32)
        np.multiply(items, (clicked >= 0)[..., None], out=rows[..., : self.item_width])
        # an empty slot's place is negative and comes to one of the last three: padding
        rows[..., self.item_width :] = self.feedback.take(clicked * 3 + converted + 1, axis=0)
        return rows

    def _score_column(self, scores: NDArray[np.floating[Any]] | None) -> Rows:
        """By the share of scored candidates that score strictly higher; NaN sorts last."""
        if scores is None:
            return self._score_rows[-1:]
        ordered = scores.copy()
        ordered.sort()
        known = len(scores)
        if not known or ordered[-1] != ordered[-1]:
            known = int(ordered.searchsorted(math.nan))
        # of those that are not above a score, and so, of known ones, how many are; NaN is above all
        return self._by_place(known).take(ordered.searchsorted(scores, "right"), mode="clip")

    def _by_place(self, known: int) -> Rows:
        """(known + 2,): by how many of so many known scores are not above; then that of a gap."""
        rows = self._rows_by_place.get(known)
        if rows is None:
            higher = np.arange(known, -1, -1)
            rows = self._score_rows.take(np.append(higher * self._buckets // max(known, 1), -1))
            if len(self._rows_by_place) < _RANKS:
                self._rows_by_place[known] = rows
        return rows

    def _ranks(self, count: int) -> Rows:
        return self.encoder.encode_field(UPSTREAM_RANK, np.arange(count, dtype=np.float64))[:, 0]


def _nameable(fields: Sequence[FittedField]) -> dict[str, FittedField]:
    return {f.name: f for f in fields if f.kind is not Kind.ID}


def _feedback_rows(encoder: Encoder) -> Rows:
    """By 3 clicked + converted + 1: not clicked, clicked, and padding three times."""
    clicked, converted = np.repeat([0, 1], 3), np.tile([-1, 0, 1], 2)
    padding = np.full((3, 2), PADDING_ROW, dtype=np.int32)
    return np.concatenate([encoder.encode_feedback(clicked, converted), padding])


def _score_rows(encoder: Encoder) -> tuple[Rows, int]:
    """(buckets + 1,) row of each bucket, then that of a gap; and how many buckets."""
    field, first = encoder.schema.field(UPSTREAM_SCORE), encoder.schema.first_row[UPSTREAM_SCORE]
    buckets = field.rank_buckets or field.size
    local = [*range(FIRST_VALUE, FIRST_VALUE + buckets), field.missing]
    return np.asarray(local, dtype=np.int32) + np.int32(first), buckets
