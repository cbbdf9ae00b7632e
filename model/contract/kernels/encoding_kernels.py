"""Compiled loops over the numbers of one request: candidates, sessions, lists, noise.

`request_encoder.py`, `noise.py` and the service say what the numbers mean. A test compares each
kernel with numpy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from model.contract.kernels.compilation import compile_kernel, readonly, writable

_BYTE, _FLAG, _ROW, _PLACE = types.int8, types.boolean, types.int32, types.int64
_KEY, _SINGLE, _DOUBLE = types.uint64, types.float32, types.float64

IntArray = NDArray[np.integer[Any]]
Float64Array = NDArray[np.float64]


@compile_kernel(
    _PLACE(readonly(_PLACE, 1), readonly(_ROW, 2), readonly(_ROW, 1), writable(_ROW, 2))
)
def gather_rows(row_indices: IntArray, table: IntArray, suffix: IntArray, out: IntArray) -> int:
    """Fill (n, Fi + G) with rows of the table and the same G behind each.

    Place -1 is the last row; returns how many places are.
    """
    width, last, unknown = table.shape[1], len(table) - 1, 0
    for i in range(len(row_indices)):
        at = row_indices[i]
        if at < 0:
            at = last
            unknown += 1
        for column in range(width):
            out[i, column] = table[at, column]
        for column in range(len(suffix)):
            out[i, width + column] = suffix[column]
    return unknown


@compile_kernel(_PLACE(_DOUBLE, readonly(_DOUBLE, 1), _PLACE))
def _count_not_above(value: float, ascending: Float64Array, count: int) -> int:
    """How many of the first `count` numbers are not above the value, which is one."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if value < ascending[middle]:
            high = middle
        else:
            low = middle + 1
    return low


@compile_kernel(
    types.void(
        readonly(_DOUBLE, 1), readonly(_DOUBLE, 1), readonly(_ROW, 1), _PLACE, writable(_ROW, 2)
    )
)
def write_bucket_column(
    values: Float64Array, edges: Float64Array, rows: IntArray, column: int, out: IntArray
) -> None:
    """Write a column: the row of each number's bucket, NaN's behind the last edge.

    edges: ascending, NaN last.  rows: one more than edges.
    """
    for i in range(len(values)):
        value, known = values[i], len(edges) - 1
        bucket = known + 1 if math.isnan(value) else _count_not_above(value, edges, known)
        out[i, column] = rows[bucket]


@compile_kernel(
    types.void(
        readonly(_DOUBLE, 1), readonly(_DOUBLE, 1), readonly(_ROW, 1), _PLACE, writable(_ROW, 2)
    )
)
def write_rank_quantile_column(
    scores: Float64Array, ordered: Float64Array, rows: IntArray, column: int, out: IntArray
) -> None:
    """Write a column: the row of the share of known scores that are strictly higher.

    ordered: the scores ascending, NaN last.  rows: of each bucket, then that of a gap.
    """
    buckets, known = len(rows) - 1, len(ordered)
    while known and math.isnan(ordered[known - 1]):
        known -= 1
    for i in range(len(scores)):
        bucket = buckets
        if not math.isnan(scores[i]):
            bucket = (known - _count_not_above(scores[i], ordered, known)) * buckets // known
        out[i, column] = rows[bucket]


@compile_kernel(
    types.void(
        readonly(_KEY, 2),
        readonly(_BYTE, 2),
        readonly(_BYTE, 2),
        readonly(_KEY, 1),
        readonly(_PLACE, 1),
        readonly(_ROW, 2),
        readonly(_ROW, 2),
        writable(_ROW, 3),
        writable(_FLAG, 2),
    )
)
def gather_sessions(  # noqa: PLR0913 one array each
    keys: NDArray[np.uint64],
    clicked: NDArray[np.int8],
    converted: NDArray[np.int8],
    sorted_keys: NDArray[np.uint64],
    key_row_indices: IntArray,
    table: IntArray,
    feedback: IntArray,
    rows: IntArray,
    valid: NDArray[np.bool_],
) -> None:
    """Fill rows (H, M, Fi + 2) and valid (H, M) with past items; what is not held is padding.

    keys, clicked, converted: of the sessions held, any number of any length.
    ascending, places: keys of the item table and the place of each.
    table: rows of items, the last that of an unknown one.
    feedback: (9, 2) by 3 clicked + converted + 1.
    """
    held, slots = min(keys.shape[0], rows.shape[0]), min(keys.shape[1], rows.shape[1])
    width = table.shape[1]
    rows[...] = 0
    valid[...] = False
    for h in range(held):
        for slot in range(slots):
            if clicked[h, slot] < 0:
                continue
            key, low, high = keys[h, slot], 0, len(sorted_keys)
            while low < high:
                middle = (low + high) // 2
                if sorted_keys[middle] < key:
                    low = middle + 1
                else:
                    high = middle
            known = low < len(sorted_keys) and sorted_keys[low] == key
            at = key_row_indices[low] if known else len(table) - 1
            told = 3 * clicked[h, slot] + converted[h, slot] + 1
            for column in range(width):
                rows[h, slot, column] = table[at, column]
            rows[h, slot, width] = feedback[told, 0]
            rows[h, slot, width + 1] = feedback[told, 1]
            valid[h, slot] = True


@compile_kernel(_FLAG(readonly(_ROW, 2), _PLACE, _PLACE))
def holds_distinct_candidates(lists: IntArray, size: int, candidates: int) -> bool:
    """Whether each list's first `size` slots hold candidates, none twice."""
    for k in range(len(lists)):
        for slot in range(size):
            place = lists[k, slot]
            if place < 0 or place >= candidates:
                return False
            for above in range(slot):
                if lists[k, above] == place:
                    return False
    return True


@compile_kernel(
    types.void(readonly(_SINGLE, 2), _SINGLE, writable(_SINGLE, 3), writable(_SINGLE, 3))
)
def split_noise(
    stream_noise: NDArray[np.float32],
    factor: float,
    noise_slot: NDArray[np.float32],
    noise_item: NDArray[np.float32],
) -> None:
    """Numbers times a factor -> (K, T, M) and (K, T, N): slots, then candidates of each edit.

    drawn: (K - 1, T * (M + N)), of all lists but list 0, which has zeros.
    """
    noise_slot[:1] = 0.0
    noise_item[:1] = 0.0
    for k in range(1, len(noise_slot)):
        at = 0
        for edit in range(noise_slot.shape[1]):
            for m in range(noise_slot.shape[2]):
                noise_slot[k, edit, m] = stream_noise[k - 1, at] * factor
                at += 1
            for n in range(noise_item.shape[2]):
                noise_item[k, edit, n] = stream_noise[k - 1, at] * factor
                at += 1
