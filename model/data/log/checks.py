"""Rules of single rows of a canonical log, checked over whole columns. They repair nothing.

Each error names file, row (counted from 0), column and rule of the first row that breaks it.
Rules of the whole log are in `model.data.tables.log_validation`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from model.data.errors import (
    BadLabel,
    BadNumber,
    BadTimestamp,
    ConversionWithoutClick,
    DuplicateItem,
    EmptyList,
    InvalidId,
    ListTooLong,
    LogError,
    MissingValue,
    ShownNotOffered,
    UnequalLengths,
)
from model.data.log.limits import MAX_ID_LENGTH, MAX_TIMESTAMP_MS, MIN_TIMESTAMP_MS
from model.data.log.ragged import IntArray, RaggedArray

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RowLocator:
    """Maps a row of the concatenated columns to its file.

    files: names, in the order of concatenation.
    starts: first row of each file.
    """

    files: tuple[str, ...]
    starts: tuple[int, ...] = (0,)

    def raise_if_any(
        self,
        bad: BoolArray,
        error: type[LogError],
        column: str,
        rule: str | Callable[[int], str],
    ) -> None:
        """Raise `error` for the first row where `bad` (R,) is True; `rule` may depend on the row."""
        if not bad.any():
            return
        row = int(bad.argmax())
        file_index = bisect_right(self.starts, row) - 1
        text = rule if isinstance(rule, str) else rule(row)
        raise error(
            file=self.files[file_index],
            row=row - self.starts[file_index],
            column=column,
            rule=text,
        )

    def raise_if_any_value(
        self,
        bad: BoolArray,
        lists: RaggedArray,
        error: type[LogError],
        column: str,
        rule: Callable[[int], str],
    ) -> None:
        """Raise `error` for the row of the first list value where `bad` (V,) is True."""
        if bad.any():
            value = int(bad.argmax())
            rows = np.zeros(len(lists.row_lengths), dtype=bool)
            rows[lists.value_row_ids[value]] = True
            self.raise_if_any(rows, error, column, lambda _: rule(value))


def require_not_null(origin: RowLocator, column: pa.Array, name: str) -> None:
    """Require that neither a column nor its lists hold a null."""
    origin.raise_if_any(np.asarray(pc.is_null(column)), MissingValue, name, "must not be null")
    if hasattr(column, "flatten") and hasattr(column.type, "value_type"):
        inner = np.asarray(pc.is_null(column.flatten()))
        lists = RaggedArray(inner, list_lengths(column))
        origin.raise_if_any_value(inner, lists, MissingValue, name, lambda _: "holds a null")


def require_valid_ids(origin: RowLocator, ids: pa.Array, name: str) -> None:
    """Every id has 1 to MAX_ID_LENGTH characters."""
    lengths = np.asarray(pc.utf8_length(ids))
    origin.raise_if_any(
        (lengths < 1) | (lengths > MAX_ID_LENGTH),
        InvalidId,
        name,
        lambda row: f"an id has 1 to {MAX_ID_LENGTH} characters, this one has {lengths[row]}",
    )


def list_lengths(column: pa.Array) -> IntArray:
    """(R,) length of each list; 0 for a null."""
    return np.asarray(pc.fill_null(pc.list_value_length(column), 0), dtype=np.int64)


def require_list_lengths(origin: RowLocator, lists: RaggedArray, name: str, limit: int) -> None:
    """Require that every list has 1 to `limit` values."""
    origin.raise_if_any(lists.row_lengths == 0, EmptyList, name, "the list is empty")
    origin.raise_if_any(
        lists.row_lengths > limit,
        ListTooLong,
        name,
        lambda row: f"{lists.row_lengths[row]} items are more than the limit of {limit}",
    )


def require_same_lengths(
    origin: RowLocator,
    counts: IntArray,
    expected: RaggedArray,
    column: str,
    other: str,
    present: BoolArray,
) -> None:
    """Require that lists of `column` are as long as those of `other`, where `present` (R,)."""
    origin.raise_if_any(
        present & (counts != expected.row_lengths),
        UnequalLengths,
        column,
        lambda row: f"{counts[row]} values for {expected.row_lengths[row]} in {other!r}",
    )


def require_distinct_items(
    origin: RowLocator, lists: RaggedArray, name: str, id_of: Callable[[int], str]
) -> None:
    """Require that no list holds an item twice.

    Args:
        origin: file of each row.
        lists: item indices, >= 0.
        name: the column.
        id_of: item index -> id, for the message.
    """
    order = np.lexsort((lists.values, lists.value_row_ids))
    row, item = lists.value_row_ids[order], lists.values[order]
    repeated = np.zeros(len(order), dtype=bool)
    repeated[order[1:]] = (row[1:] == row[:-1]) & (item[1:] == item[:-1])
    origin.raise_if_any_value(
        repeated,
        lists,
        DuplicateItem,
        name,
        lambda value: f"{id_of(int(lists.values[value]))!r} occurs twice in the list",
    )


def shown_to_candidate_indices(
    origin: RowLocator, shown: RaggedArray, candidates: RaggedArray, id_of: Callable[[int], str]
) -> RaggedArray:
    """Index of each shown item among the candidates of its row.

    Args:
        origin: file of each row.
        shown: item indices in the item table, -1 for an id that is not in it.
        candidates: item indices in the item table, distinct in each row.
        id_of: index in `shown.values` -> id, for the message.

    Returns:
        Ragged int32 with the lengths of `shown`.

    Raises:
        ShownNotOffered: a shown item is not a candidate of its row.
    """
    span = int(candidates.values.max(initial=0)) + 2
    candidate_keys = candidates.value_row_ids * span + candidates.values + 1
    shown_keys = shown.value_row_ids * span + shown.values + 1
    order = np.argsort(candidate_keys)
    position = np.searchsorted(candidate_keys[order], shown_keys)
    position = np.minimum(position, len(candidate_keys) - 1)
    is_candidate = candidate_keys[order][position] == shown_keys
    origin.raise_if_any_value(
        ~is_candidate,
        shown,
        ShownNotOffered,
        "shown",
        lambda v: f"{id_of(v)!r} is not among the row's candidates",
    )
    return RaggedArray(
        (order[position] - candidates.row_starts[shown.value_row_ids]).astype(np.int32),
        shown.row_lengths,
    )


def require_binary_labels(
    origin: RowLocator, lists: RaggedArray, name: str, present: BoolArray
) -> None:
    """Require that every value is 0 or 1, where `present` (V,)."""
    values = lists.values
    origin.raise_if_any_value(
        present & (values != 0) & (values != 1),
        lists,
        BadLabel,
        name,
        lambda value: f"{values[value]} is not 0 or 1",
    )


def require_converted_clicked(
    origin: RowLocator, clicks: NDArray[np.int8], conversions: NDArray[np.int8], lists: RaggedArray
) -> None:
    """Require a click on every converted item."""
    origin.raise_if_any_value(
        (conversions == 1) & (clicks == 0),
        lists,
        ConversionWithoutClick,
        "conversions",
        lambda value: (
            f"value {value - lists.row_starts[lists.value_row_ids[value]]} "
            "converted but was not clicked"
        ),
    )


def require_unix_ms(origin: RowLocator, timestamp: IntArray) -> None:
    """Require Unix milliseconds between the years 1990 and 2100."""
    origin.raise_if_any(
        (timestamp < MIN_TIMESTAMP_MS) | (timestamp > MAX_TIMESTAMP_MS),
        BadTimestamp,
        "timestamp",
        lambda row: f"{timestamp[row]} is not in Unix milliseconds (years 1990 to 2100)",
    )


def require_finite(
    origin: RowLocator,
    values: NDArray[np.float64],
    present: BoolArray,
    lists: RaggedArray | None,
    name: str,
) -> None:
    """Require that present numbers are neither NaN nor infinite.

    Args:
        origin: file of each row.
        values: (V,) float64.
        present: (V,) bool, False for a null.
        lists: lists of the rows that hold the values; None for one value a row.
        name: the column.
    """
    bad = present & ~np.isfinite(values)
    rule = "{} is not a finite number (a gap is null)"
    if lists is None:
        origin.raise_if_any(bad, BadNumber, name, lambda row: rule.format(values[row]))
    else:
        origin.raise_if_any_value(
            bad, lists, BadNumber, name, lambda value: rule.format(values[value])
        )


def require_unique_ids(
    origin: RowLocator, column: pa.Array, name: str, error: type[LogError]
) -> None:
    """Require that no id occurs twice; `error` is RepeatedId or RepeatedRequest."""
    encoded = pc.dictionary_encode(column)
    codes = np.asarray(encoded.indices)
    first = np.unique(codes, return_index=True)[1]
    repeated = np.ones(len(codes), dtype=bool)
    repeated[first] = False
    origin.raise_if_any(
        repeated, error, name, lambda row: f"{column[row].as_py()!r} occurs more than once"
    )
