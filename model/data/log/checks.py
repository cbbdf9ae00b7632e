"""The rules of a canonical log, each over whole columns at once. They raise, they repair nothing.

Every check names file, row (counted from 0), column and rule of the first row that breaks it.
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
    """Which file a row of the concatenated columns came from.

    files: names, in the order of concatenation. starts: first row of each.
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
        """Raise `error` for the first row where `bad` is True."""
        if not bad.any():
            return
        row = int(bad.argmax())
        at = bisect_right(self.starts, row) - 1
        text = rule if isinstance(rule, str) else rule(row)
        raise error(file=self.files[at], row=row - self.starts[at], column=column, rule=text)

    def raise_if_any_value(
        self,
        bad: BoolArray,
        lists: RaggedArray,
        error: type[LogError],
        column: str,
        rule: Callable[[int], str],
    ) -> None:
        """Raise `error` for the first list value where `bad` (V,) is True."""
        if bad.any():
            at = int(bad.argmax())
            rows = np.zeros(len(lists.row_lengths), dtype=bool)
            rows[lists.value_row_ids[at]] = True
            self.raise_if_any(rows, error, column, lambda _: rule(at))


def require_not_null(origin: RowLocator, column: pa.Array, name: str) -> None:
    """No null in a column, and none inside its lists."""
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
    """No list empty, none over the limit."""
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
    """The lists of `column` are as long as those of `other`, wherever they are given."""
    origin.raise_if_any(
        present & (counts != expected.row_lengths),
        UnequalLengths,
        column,
        lambda row: f"{counts[row]} values for {expected.row_lengths[row]} in {other!r}",
    )


def require_distinct_items(
    origin: RowLocator, lists: RaggedArray, name: str, id_of: Callable[[int], str]
) -> None:
    """No list holds an item twice.

    Args:
        origin: where rows came from.
        lists: item places, >= 0.
        name: the column.
        of: item place -> id, for the message.
    """
    order = np.lexsort((lists.values, lists.value_row_ids))
    row, item = lists.value_row_ids[order], lists.values[order]
    twice = np.zeros(len(order), dtype=bool)
    twice[order[1:]] = (row[1:] == row[:-1]) & (item[1:] == item[:-1])
    origin.raise_if_any_value(
        twice,
        lists,
        DuplicateItem,
        name,
        lambda at: f"{id_of(int(lists.values[at]))!r} stands in the list twice",
    )


def shown_to_candidate_indices(
    origin: RowLocator, shown: RaggedArray, candidates: RaggedArray, id_of: Callable[[int], str]
) -> RaggedArray:
    """Each shown item's place among its row's candidates.

    Args:
        origin: where rows came from.
        shown: global item places of what was shown, -1 for an id that no table knows.
        candidates: global item places on offer, distinct in each row.
        of: place in `shown.values` -> id, for the message.

    Returns:
        Ragged int32 like `max_shown`.
    """
    high = int(candidates.values.max(initial=0)) + 2
    offered = candidates.value_row_ids * high + candidates.values + 1
    asked = shown.value_row_ids * high + shown.values + 1
    order = np.argsort(offered)
    at = np.minimum(np.searchsorted(offered[order], asked), len(offered) - 1)
    found = offered[order][at] == asked
    origin.raise_if_any_value(
        ~found,
        shown,
        ShownNotOffered,
        "shown",
        lambda v: f"{id_of(v)!r} is not among the row's candidates",
    )
    return RaggedArray(
        (order[at] - candidates.row_starts[shown.value_row_ids]).astype(np.int32), shown.row_lengths
    )


def require_binary_labels(
    origin: RowLocator, lists: RaggedArray, name: str, present: BoolArray
) -> None:
    """Every given value is 0 or 1."""
    values = lists.values
    origin.raise_if_any_value(
        present & (values != 0) & (values != 1),
        lists,
        BadLabel,
        name,
        lambda at: f"{values[at]} is not 0 or 1",
    )


def require_converted_clicked(
    origin: RowLocator, clicks: NDArray[np.int8], conversions: NDArray[np.int8], lists: RaggedArray
) -> None:
    """What converted was clicked."""
    origin.raise_if_any_value(
        (conversions == 1) & (clicks == 0),
        lists,
        ConversionWithoutClick,
        "conversions",
        lambda at: (
            f"value {at - lists.row_starts[lists.value_row_ids[at]]} converted but was not clicked"
        ),
    )


def require_unix_ms(origin: RowLocator, timestamp: IntArray) -> None:
    """Timestamps are Unix milliseconds between the years 1990 and 2100."""
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
    """Numbers that are given are neither NaN nor infinite.

    Args:
        origin: where rows came from.
        values: (V,) numbers. given: (V,) False for a null.
        given: (V,) bool.
        lists: the rows' lists that the values lie in; None for one value a row.
        name: the column.
    """
    bad = present & ~np.isfinite(values)
    rule = "{} is not a finite number (a gap is null)"
    if lists is None:
        origin.raise_if_any(bad, BadNumber, name, lambda row: rule.format(values[row]))
    else:
        origin.raise_if_any_value(bad, lists, BadNumber, name, lambda at: rule.format(values[at]))


def require_unique_ids(
    origin: RowLocator, column: pa.Array, name: str, error: type[LogError]
) -> None:
    """No id twice; `error` is RepeatedId or RepeatedRequest."""
    encoded = pc.dictionary_encode(column)
    codes = np.asarray(encoded.indices)
    first = np.unique(codes, return_index=True)[1]
    again = np.ones(len(codes), dtype=bool)
    again[first] = False
    origin.raise_if_any(
        again, error, name, lambda row: f"{column[row].as_py()!r} stands there twice"
    )
