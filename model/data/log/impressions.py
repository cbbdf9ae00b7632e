"""Impressions of a log: candidates, shown items and labels as checked flat columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.contract.schema.declared import (
    UPSTREAM_FIELDS,
    DeclaredField,
    DeclaredSchema,
    FieldKind,
    FieldScope,
)
from model.data.errors import RepeatedRequest, UnknownItem, UnknownUser
from model.data.log import checks
from model.data.log.checks import BoolArray, RowLocator
from model.data.log.column_types import ColumnType, as_single_array, column_type_of, select_columns
from model.data.log.limits import ListLimits
from model.data.log.ragged import IntArray, RaggedArray

IndexLookup = Callable[[pa.Array], NDArray[np.int32]]
_LAYOUT = {
    "request_id": ColumnType.TEXT,
    "user_id": ColumnType.TEXT,
    "timestamp": ColumnType.INTEGER,
    "candidates": ColumnType.TEXT_LIST,
    "upstream_scores": ColumnType.NUMBER_LIST,
    "shown": ColumnType.TEXT_LIST,
    "clicks": ColumnType.INTEGER_LIST,
    "conversions": ColumnType.INTEGER_LIST,
}


@dataclass(frozen=True)
class Impressions:
    """R logged requests in the order of the files; V candidates and W shown items in all.

    request_ids: (R,) Arrow text, distinct.
    user_index: (R,) int32, row of the users.
    timestamp: (R,) int64 Unix ms.
    candidates: ragged int32, rows of the items, in upstream order.
    upstream_scores: (V,) float64, NaN for a missing score.
    shown: ragged int32, index among the candidates of the row, by slot.
    clicks, conversions: (W,) int8 0/1; -1 for a conversion that is not known.
    context_values: field -> (R,) Arrow array.
    candidate_values: field -> (V,) Arrow array.
    """

    request_ids: pa.Array
    user_index: NDArray[np.int32]
    timestamp: IntArray
    candidates: RaggedArray
    upstream_scores: NDArray[np.float64]
    shown: RaggedArray
    clicks: NDArray[np.int8]
    conversions: NDArray[np.int8]
    context_values: Mapping[str, pa.Array]
    candidate_values: Mapping[str, pa.Array]


def read_impressions(
    tables: list[pa.Table],
    file_names: list[str],
    declared: DeclaredSchema,
    *,
    item_lookup: IndexLookup,
    user_lookup: IndexLookup,
    limits: ListLimits,
) -> Impressions:
    """Check the files' tables and join them.

    Args:
        tables: one Arrow table a file.
        file_names: names of the files, for messages.
        declared: names the required context and candidate-scope columns.
        item_lookup: item ids -> rows of the items, -1 for an unknown id.
        user_lookup: user ids -> rows of the users, -1 for an unknown id.
        limits: longest lists.

    Raises:
        LogError: names file, row, column and rule.
    """
    contexts = declared.fields_in_scope(FieldScope.CONTEXT)
    of_candidates = tuple(
        f for f in declared.fields_in_scope(FieldScope.CANDIDATE) if f.name not in UPSTREAM_FIELDS
    )
    want = _LAYOUT | {spec.name: column_type_of(spec) for spec in (*contexts, *of_candidates)}
    picked = [
        select_columns(t, want, file=name) for t, name in zip(tables, file_names, strict=True)
    ]
    starts = np.cumsum([0, *(t.num_rows for t in picked[:-1])])
    origin = RowLocator(tuple(file_names), tuple(int(s) for s in starts))
    joined = pa.concat_tables(picked).combine_chunks()
    columns = {name: as_single_array(joined[name]) for name in want}
    reader = _ImpressionReader(origin, columns, limits)
    return reader.read(item_lookup, user_lookup, contexts, of_candidates)


class _ImpressionReader:
    """Checks the joined columns."""

    def __init__(
        self, origin: RowLocator, columns: Mapping[str, pa.Array], limits: ListLimits
    ) -> None:
        self.origin, self.columns, self.limits = origin, columns, limits

    def read(
        self,
        item_lookup: IndexLookup,
        user_lookup: IndexLookup,
        contexts: tuple[DeclaredField, ...],
        of_candidates: tuple[DeclaredField, ...],
    ) -> Impressions:
        origin, columns = self.origin, self.columns
        for name in ("request_id", "user_id", "timestamp", "candidates", "shown", "clicks"):
            checks.require_not_null(origin, columns[name], name)
        checks.require_valid_ids(origin, columns["request_id"], "request_id")
        checks.require_unique_ids(origin, columns["request_id"], "request_id", RepeatedRequest)
        timestamp = np.asarray(columns["timestamp"], dtype=np.int64)
        checks.require_unix_ms(origin, timestamp)
        candidates = self._candidates(item_lookup)
        shown = self._shown(item_lookup, candidates)
        clicks = self._flags("clicks", shown, "shown")
        conversions = self._flags("conversions", shown, "shown")
        checks.require_converted_clicked(origin, clicks, conversions, shown)
        return Impressions(
            request_ids=columns["request_id"],
            user_index=self._users(user_lookup),
            timestamp=timestamp,
            candidates=candidates,
            upstream_scores=self._numbers("upstream_scores", candidates),
            shown=shown,
            clicks=clicks,
            conversions=conversions,
            context_values={spec.name: self._context(spec) for spec in contexts},
            candidate_values={f.name: self._of_candidates(f, candidates) for f in of_candidates},
        )

    def _users(self, lookup: IndexLookup) -> NDArray[np.int32]:
        ids = self.columns["user_id"]
        users = lookup(ids)
        self.origin.raise_if_any(
            users < 0,
            UnknownUser,
            "user_id",
            lambda row: f"{ids[row].as_py()!r} is not in users.parquet",
        )
        return users

    def _candidates(self, lookup: IndexLookup) -> RaggedArray:
        column = self.columns["candidates"]
        ids, counts = column.flatten(), checks.list_lengths(column)
        lists = RaggedArray(lookup(ids), counts)
        checks.require_list_lengths(self.origin, lists, "candidates", self.limits.max_candidates)
        self.origin.raise_if_any_value(
            lists.values < 0,
            lists,
            UnknownItem,
            "candidates",
            lambda value: f"{ids[value].as_py()!r} is not in items.parquet",
        )
        checks.require_distinct_items(
            self.origin, lists, "candidates", lambda value: str(ids[value].as_py())
        )
        return lists

    def _shown(self, lookup: IndexLookup, candidates: RaggedArray) -> RaggedArray:
        column = self.columns["shown"]
        ids = column.flatten()
        lists = RaggedArray(lookup(ids), checks.list_lengths(column))
        checks.require_list_lengths(self.origin, lists, "shown", self.limits.max_shown)

        def id_of(value: int) -> str:
            return str(ids[value].as_py())

        in_list = checks.shown_to_candidate_indices(self.origin, lists, candidates, id_of)
        checks.require_distinct_items(self.origin, lists, "shown", id_of)
        return in_list

    def _flags(self, name: str, lists: RaggedArray, other: str) -> NDArray[np.int8]:
        values, present = self._aligned(name, lists, other, fill=-1)
        flags = values.astype(np.int64)
        checks.require_binary_labels(
            self.origin, RaggedArray(flags, lists.row_lengths), name, present
        )
        return np.where(present, flags, -1).astype(np.int8)

    def _numbers(self, name: str, lists: RaggedArray) -> NDArray[np.float64]:
        values, present = self._aligned(name, lists, "candidates", fill=np.nan)
        checks.require_finite(self.origin, values, present, lists, name)
        return values

    def _aligned(
        self, name: str, lists: RaggedArray, other: str, fill: float
    ) -> tuple[NDArray[np.float64], BoolArray]:
        """(V,) numbers of a list column over `lists`, and (V,) bool whether each is present."""
        column = self.columns[name]
        has_list = ~np.asarray(pc.is_null(column))
        counts = checks.list_lengths(column)
        checks.require_same_lengths(self.origin, counts, lists, name, other, has_list)
        flat = column.flatten()
        in_list = has_list[lists.value_row_ids]
        present, values = in_list.copy(), np.full(len(in_list), fill, dtype=np.float64)
        present[in_list] = ~np.asarray(pc.is_null(flat))
        values[present] = np.asarray(flat.drop_null(), dtype=np.float64)
        return values, present

    def _context(self, spec: DeclaredField) -> pa.Array:
        column = self.columns[spec.name]
        if spec.kind is FieldKind.NUMERIC:
            present = ~np.asarray(pc.is_null(column))
            numbers = np.asarray(column, dtype=np.float64)
            checks.require_finite(self.origin, numbers, present, None, spec.name)
        return column

    def _of_candidates(self, spec: DeclaredField, candidates: RaggedArray) -> pa.Array:
        if spec.kind is FieldKind.NUMERIC:
            return pa.array(self._numbers(spec.name, candidates), from_pandas=True)  # NaN: gap
        column = self.columns[spec.name]
        has_list = ~np.asarray(pc.is_null(column))
        counts = checks.list_lengths(column)
        checks.require_same_lengths(
            self.origin, counts, candidates, spec.name, "candidates", has_list
        )
        source = np.full(len(candidates.values), -1, dtype=np.int64)
        in_list = has_list[candidates.value_row_ids]
        source[in_list] = np.arange(int(in_list.sum()))
        return column.flatten().take(pa.array(source, mask=~in_list))
