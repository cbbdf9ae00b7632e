"""Encodes checked columns of a log into padded arrays in the order of LogTables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model.contract.encoding.encoder import FeatureEncoder
from model.contract.schema.declared import FieldScope
from model.contract.schema.fitted import EmbeddingIndices, column_count
from model.data.log.impressions import Impressions
from model.data.log.log_reader import CanonicalLog
from model.data.log.ragged import IntArray, RaggedArray
from model.data.tables.sessions import build_session_index

_CHUNK = 16_384  # rows encoded at once: bounds the memory of the work in float64


@dataclass(frozen=True)
class RequestColumns:
    """The fields of LogTables that describe requests."""

    request_ids: NDArray[np.str_]
    user_index: NDArray[np.int32]
    timestamp: IntArray
    candidates: NDArray[np.int32]
    candidate_rows: EmbeddingIndices
    cand_count: NDArray[np.int32]
    shown: NDArray[np.int32]
    shown_count: NDArray[np.int32]
    clicks: NDArray[np.int8]
    conversions: NDArray[np.int8]
    candidate_clicks: NDArray[np.int8] | None
    candidate_conversions: NDArray[np.int8] | None


@dataclass(frozen=True)
class SessionColumns:
    """The fields of LogTables that describe past lists."""

    sessions: NDArray[np.int32]
    session_items: NDArray[np.int32]
    session_feedback: EmbeddingIndices
    session_count: NDArray[np.int32]


def encoder_values(column: pa.Array) -> Sequence[Any]:
    """An Arrow column in the form of the encoder: numbers with NaN for nulls, or Python values."""
    if pa.types.is_floating(column.type):
        return cast("Sequence[Any]", np.asarray(column, dtype=np.float64))
    return list(column.to_pylist())


def encode_request_columns(
    log: CanonicalLog, encoder: FeatureEncoder, order: IntArray
) -> RequestColumns:
    """Pad and encode the requests.

    Args:
        log: the log.
        encoder: encoder of the schema fitted to it.
        order: (R,) log row of each row of the tables.
    """
    rows = log.impressions
    offered, shown = rows.candidates, rows.shown
    n, m = int(offered.row_lengths.max()), int(shown.row_lengths.max())
    labels = log.candidate_labels
    return RequestColumns(
        request_ids=np.asarray(rows.request_ids.to_pylist(), dtype=np.str_)[order],
        user_index=rows.user_index[order],
        timestamp=rows.timestamp[order],
        candidates=offered.to_padded(n, len(log.items.ids))[order],
        candidate_rows=_candidate_rows(rows, encoder, n)[order],
        cand_count=offered.row_lengths.astype(np.int32)[order],
        shown=shown.to_padded(m, 0)[order],
        shown_count=shown.row_lengths.astype(np.int32)[order],
        clicks=_over(rows.clicks, shown).to_padded(m, -1)[order],
        conversions=_over(rows.conversions, shown).to_padded(m, -1)[order],
        candidate_clicks=_over(labels.clicks, offered).to_padded(n, -1)[order] if labels else None,
        candidate_conversions=(
            _over(labels.conversions, offered).to_padded(n, -1)[order] if labels else None
        ),
    )


def encode_session_columns(
    log: CanonicalLog, encoder: FeatureEncoder, order: IntArray, history_length: int
) -> SessionColumns:
    """The session bank, and the `history_length` newest sessions of each row."""
    rows = log.impressions
    user, timestamp = rows.user_index[order], rows.timestamp[order]
    index = build_session_index(user, timestamp)
    lists = rows.shown
    items = rows.candidates.values[rows.candidates.row_starts[lists.value_row_ids] + lists.values]
    slots = int(lists.row_lengths.max())
    source = order[index.log_rows]
    feedback = encoder.encode_feedback(rows.clicks, rows.conversions)
    feedback_rows = [_over(feedback[:, c], lists).to_padded(slots, 0)[source] for c in range(2)]
    return SessionColumns(
        sessions=index.newest_before(user.astype(np.int64), timestamp, history_length),
        session_items=_over(items, lists).to_padded(slots, len(log.items.ids))[source],
        session_feedback=np.stack(feedback_rows, axis=-1),
        session_count=lists.row_lengths[source].astype(np.int32),
    )


def _over(values: NDArray[Any], lists: RaggedArray) -> RaggedArray:
    return RaggedArray(values, lists.row_lengths)


def _candidate_rows(rows: Impressions, encoder: FeatureEncoder, width: int) -> EmbeddingIndices:
    """(R, N, Cc) int32 candidate-scope columns in the order of the files."""
    count = len(rows.timestamp)
    width_of_row = column_count(encoder.schema.fields_in_scopes(FieldScope.CANDIDATE))
    out = np.empty((count, width, width_of_row), dtype=np.int32)
    for first, last in _chunks(count):
        span = rows.candidates.value_slice(first, last)
        valid = RaggedArray(
            rows.candidates.values[span], rows.candidates.row_lengths[first:last]
        ).valid_mask(width)
        scores = np.full(valid.shape, np.nan)
        scores[valid] = rows.upstream_scores[span]
        values = {
            name: encoder_values(column.slice(span.start, span.stop - span.start))
            for name, column in rows.candidate_values.items()
        }
        out[first:last] = encoder.encode_candidate_scope(scores, valid, values)
    return out


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, _CHUNK):
        yield first, min(first + _CHUNK, count)
