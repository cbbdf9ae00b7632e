"""Kernels over the arrays of one request: candidates, sessions, noise, and the check of lists.

`request_encoder.py`, `noise.py` and the service define the meaning of the arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.kernels.dispatch import kernel, readonly, signature, writable

IntArray = NDArray[np.integer[Any]]
Float64Array = NDArray[np.float64]


def _gather_rows_numpy(
    row_indices: IntArray, table: IntArray, suffix: IntArray, out: IntArray
) -> int:
    width = table.shape[1]
    unknown = row_indices < 0
    out[:, :width] = table[np.where(unknown, len(table) - 1, row_indices)]
    out[:, width:] = suffix
    return int(np.count_nonzero(unknown))


@kernel(
    _gather_rows_numpy,
    signature(
        readonly("int64", 1), readonly("int32", 2), readonly("int32", 1), writable("int32", 2),
        result="int64",
    ),
)  # fmt: skip
def gather_rows(row_indices: IntArray, table: IntArray, suffix: IntArray, out: IntArray) -> int:
    """Fill (n, Fi + G) with table rows and the same G columns behind each.

    Index -1 is the last row; returns the number of such indices.
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


def _write_bucket_column_numpy(
    values: Float64Array, edges: Float64Array, rows: IntArray, column: int, out: IntArray
) -> None:
    out[:, column] = rows.take(edges.searchsorted(values, side="right"))


@kernel(
    _write_bucket_column_numpy,
    signature(
        readonly("float64", 1), readonly("float64", 1), readonly("int32", 1), "int64",
        writable("int32", 2),
    ),
)  # fmt: skip
def write_bucket_column(
    values: Float64Array, edges: Float64Array, rows: IntArray, column: int, out: IntArray
) -> None:
    """Write a column of bucket rows; NaN is in the bucket behind the last edge.

    edges: ascending, NaN last.  rows: one more than edges.
    """
    for i in range(len(values)):
        low, high = 0, len(edges) - 1
        if math.isnan(values[i]):
            low = high = len(edges)
        while low < high:
            middle = (low + high) // 2
            if values[i] < edges[middle]:
                high = middle
            else:
                low = middle + 1
        out[i, column] = rows[low]


def _write_rank_quantile_column_numpy(
    scores: Float64Array, ordered: Float64Array, rows: IntArray, column: int, out: IntArray
) -> None:
    buckets, gaps = len(rows) - 1, np.isnan(scores)
    known = len(ordered) - int(np.count_nonzero(np.isnan(ordered)))
    if not known:
        out[:, column] = rows[buckets]
        return
    higher = known - ordered[:known].searchsorted(scores, side="right")
    out[:, column] = rows[np.where(gaps, buckets, higher * buckets // known)]


@kernel(
    _write_rank_quantile_column_numpy,
    signature(
        readonly("float64", 1), readonly("float64", 1), readonly("int32", 1), "int64",
        writable("int32", 2),
    ),
)  # fmt: skip
def write_rank_quantile_column(
    scores: Float64Array, ordered: Float64Array, rows: IntArray, column: int, out: IntArray
) -> None:
    """Write a column of rank buckets, by the share of known scores that are strictly higher.

    ordered: the scores ascending, NaN last.  rows: of each bucket, then the row of a gap.
    """
    buckets, known = len(rows) - 1, len(ordered)
    while known > 0 and math.isnan(ordered[known - 1]):
        known -= 1
    for i in range(len(scores)):
        if math.isnan(scores[i]):
            out[i, column] = rows[buckets]
            continue
        low, high = 0, known
        while low < high:
            middle = (low + high) // 2
            if scores[i] < ordered[middle]:
                high = middle
            else:
                low = middle + 1
        out[i, column] = rows[(known - low) * buckets // known]


def _gather_sessions_numpy(  # noqa: PLR0913 one array each
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
    held, slots = min(keys.shape[0], rows.shape[0]), min(keys.shape[1], rows.shape[1])
    rows[...] = 0
    valid[...] = False
    shown = valid[:held, :slots]
    shown[...] = clicked[:held, :slots] >= 0
    shown_keys = keys[:held, :slots][shown]
    at = np.full(len(shown_keys), len(table) - 1, dtype=np.int64)
    if len(sorted_keys) > 0:
        found = sorted_keys.searchsorted(shown_keys)
        known = sorted_keys.take(found, mode="clip") == shown_keys
        at[known] = key_row_indices[found[known]]
    state = 3 * clicked[:held, :slots][shown] + converted[:held, :slots][shown] + 1
    rows[:held, :slots][shown] = np.concatenate([table[at], feedback[state]], axis=1)


@kernel(
    _gather_sessions_numpy,
    signature(
        readonly("uint64", 2), readonly("int8", 2), readonly("int8", 2), readonly("uint64", 1),
        readonly("int64", 1), readonly("int32", 2), readonly("int32", 2), writable("int32", 3),
        writable("boolean", 2),
    ),
)  # fmt: skip
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
    """Fill rows (H, M, Fi + 2) and valid (H, M) with past items; the rest is padding.

    keys, clicked, converted: of the stored sessions, any number of any length.
    sorted_keys, key_row_indices: keys of the item table, ascending, and the row index of each.
    table: rows of items, the last one of an unknown item.
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
            state = 3 * clicked[h, slot] + converted[h, slot] + 1
            for column in range(width):
                rows[h, slot, column] = table[at, column]
            rows[h, slot, width] = feedback[state, 0]
            rows[h, slot, width + 1] = feedback[state, 1]
            valid[h, slot] = True


def _holds_distinct_candidates_numpy(lists: IntArray, size: int, candidates: int) -> bool:
    held = np.sort(lists[:, :size], axis=1)
    if held.size == 0:
        return True
    if held[:, 0].min() < 0 or held[:, -1].max() >= candidates:
        return False
    return bool((held[:, 1:] != held[:, :-1]).all())


@kernel(
    _holds_distinct_candidates_numpy,
    signature(readonly("int32", 2), "int64", "int64", result="boolean"),
)
def holds_distinct_candidates(lists: IntArray, size: int, candidates: int) -> bool:
    """Whether each list's first `size` slots hold candidates without repetition."""
    for k in range(len(lists)):
        for slot in range(size):
            candidate = lists[k, slot]
            if candidate < 0 or candidate >= candidates:
                return False
            for above in range(slot):
                if lists[k, above] == candidate:
                    return False
    return True


def _split_noise_numpy(
    stream_noise: NDArray[np.float32],
    factor: float,
    noise_slot: NDArray[np.float32],
    noise_item: NDArray[np.float32],
) -> None:
    noise_slot[:1] = 0.0
    noise_item[:1] = 0.0
    edits, slots, candidates = *noise_slot.shape[1:], noise_item.shape[2]
    cells = stream_noise.reshape(len(stream_noise), edits, slots + candidates)
    np.multiply(cells[..., :slots], np.float32(factor), out=noise_slot[1:])
    np.multiply(cells[..., slots:], np.float32(factor), out=noise_item[1:])


@kernel(
    _split_noise_numpy,
    signature(readonly("float32", 2), "float32", writable("float32", 3), writable("float32", 3)),
)
def split_noise(
    stream_noise: NDArray[np.float32],
    factor: float,
    noise_slot: NDArray[np.float32],
    noise_item: NDArray[np.float32],
) -> None:
    """Numbers times a factor -> (K, T, M) and (K, T, N): slots, then candidates of each edit.

    stream_noise: (K - 1, T * (M + N)), of all lists but list 0, which has zeros.
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
