"""Checked columns of a log -> padded, encoded arrays in the order of LogTables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from model.contract.encode import Encoder, Rows
from model.contract.fitted import columns
from model.contract.schema import Scope
from model.data.canonical import CanonicalLog
from model.data.impressions import Impressions
from model.data.ragged import Ints, Ragged
from model.data.sessions import index_sessions

_CHUNK = 16_384  # rows encoded at once: bounds the memory of the work in float64


@dataclass(frozen=True)
class RequestArrays:
    """The fields of LogTables that describe requests."""

    request_ids: NDArray[np.str_]
    user_place: NDArray[np.int32]
    timestamp: Ints
    candidates: NDArray[np.int32]
    candidate_rows: Rows
    cand_count: NDArray[np.int32]
    shown: NDArray[np.int32]
    shown_count: NDArray[np.int32]
    clicks: NDArray[np.int8]
    conversions: NDArray[np.int8]
    candidate_clicks: NDArray[np.int8] | None
    candidate_conversions: NDArray[np.int8] | None


@dataclass(frozen=True)
class SessionArrays:
    """The fields of LogTables that describe past lists."""

    sessions: NDArray[np.int32]
    session_items: NDArray[np.int32]
    session_feedback: Rows
    session_count: NDArray[np.int32]


def raw_values(column: pa.Array) -> Sequence[Any]:
    """An arrow column as the encoder takes it: numbers with NaN for gaps, or Python values."""
    if pa.types.is_floating(column.type):
        return cast("Sequence[Any]", np.asarray(column, dtype=np.float64))
    return list(column.to_pylist())


def request_arrays(log: CanonicalLog, encoder: Encoder, order: Ints) -> RequestArrays:
    """Pad and encode the requests.

    Args:
        log: the log. encoder: of the schema fitted to it.
        encoder: the encoder.
        order: (R,) row of the log that stands at each place of the tables.
    """
    rows = log.impressions
    offered, shown = rows.candidates, rows.shown
    n, m = int(offered.counts.max()), int(shown.counts.max())
    truth = log.truth
    return RequestArrays(
        request_ids=np.asarray(rows.request_ids.to_pylist(), dtype=np.str_)[order],
        user_place=rows.user_place[order],
        timestamp=rows.timestamp[order],
        candidates=offered.padded(n, len(log.items.ids))[order],
        candidate_rows=_candidate_rows(rows, encoder, n)[order],
        cand_count=offered.counts.astype(np.int32)[order],
        shown=shown.padded(m, 0)[order],
        shown_count=shown.counts.astype(np.int32)[order],
        clicks=_over(rows.clicks, shown).padded(m, -1)[order],
        conversions=_over(rows.conversions, shown).padded(m, -1)[order],
        candidate_clicks=_over(truth.clicks, offered).padded(n, -1)[order] if truth else None,
        candidate_conversions=(
            _over(truth.conversions, offered).padded(n, -1)[order] if truth else None
        ),
    )


def session_arrays(log: CanonicalLog, encoder: Encoder, order: Ints, history: int) -> SessionArrays:
    """The bank of sessions, and the `history` newest that each row may see."""
    rows = log.impressions
    user, timestamp = rows.user_place[order], rows.timestamp[order]
    index = index_sessions(user, timestamp)
    lists = rows.shown
    items = rows.candidates.values[rows.candidates.starts[lists.rows] + lists.values]
    slots = int(lists.counts.max())
    source = order[index.row]
    feedback = encoder.encode_feedback(rows.clicks, rows.conversions)
    feedback_rows = [_over(feedback[:, c], lists).padded(slots, 0)[source] for c in range(2)]
    return SessionArrays(
        sessions=index.newest(user.astype(np.int64), timestamp, history),
        session_items=_over(items, lists).padded(slots, len(log.items.ids))[source],
        session_feedback=np.stack(feedback_rows, axis=-1),
        session_count=lists.counts[source].astype(np.int32),
    )


def _over(values: NDArray[Any], lists: Ragged) -> Ragged:
    return Ragged(values, lists.counts)


def _candidate_rows(rows: Impressions, encoder: Encoder, width: int) -> Rows:
    """(R, N, Cc) int32 candidate-scope columns in the order of the files."""
    count = len(rows.timestamp)
    own = columns(encoder.schema.of(Scope.CANDIDATE))
    out = np.empty((count, width, own), dtype=np.int32)
    for first, last in _chunks(count):
        held = rows.candidates.chunk(first, last)
        valid = Ragged(rows.candidates.values[held], rows.candidates.counts[first:last]).valid(
            width
        )
        scores = np.full(valid.shape, np.nan)
        scores[valid] = rows.scores[held]
        values = {
            name: raw_values(column.slice(held.start, held.stop - held.start))
            for name, column in rows.candidate_values.items()
        }
        out[first:last] = encoder.encode_candidate_scope(scores, valid, values)
    return out


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, _CHUNK):
        yield first, min(first + _CHUNK, count)
