"""Rows of a log -> the numpy arrays that the graphs take. The torch twin is `batches.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.contract.schema.fitted import PADDING_INDEX, EmbeddingIndices
from model.data.tables.log_tables import LogTables

BoolArray = NDArray[np.bool_]


class RequestArrays(NamedTuple):
    """A batch of encoded requests; shapes and meaning as in `nets.inputs.RequestTensors`."""

    candidates: EmbeddingIndices
    cand_valid: BoolArray
    slot_valid: BoolArray
    user: EmbeddingIndices
    sessions: EmbeddingIndices
    sess_valid: BoolArray


def gather_request_arrays(tables: LogTables, rows: NDArray[np.integer[Any]]) -> RequestArrays:
    """Inputs of the given rows (B,), with the slots that were shown."""
    items = tables.items.rows_with_default
    cand_valid = prefix_mask(tables.cand_count[rows], tables.max_candidates)
    candidates = np.concatenate(
        [items[tables.candidates[rows]], tables.candidate_rows[rows]], axis=-1
    )
    bank = tables.sessions[rows]
    held = np.maximum(bank, 0)
    sess_valid = prefix_mask(tables.session_count[held], tables.slots) & (bank >= 0)[..., None]
    sessions = np.concatenate(
        [items[tables.session_items[held]], tables.session_feedback[held]], axis=-1
    )
    return RequestArrays(
        candidates=np.where(cand_valid[..., None], candidates, PADDING_INDEX).astype(np.int32),
        cand_valid=cand_valid,
        slot_valid=prefix_mask(tables.shown_count[rows], tables.slots),
        user=np.asarray(tables.user_rows[rows]),
        sessions=np.where(sess_valid[..., None], sessions, PADDING_INDEX).astype(np.int32),
        sess_valid=sess_valid,
    )


def prefix_mask(counts: NDArray[np.integer[Any]], width: int) -> BoolArray:
    """counts.shape + (width,): True in the first `count` places."""
    return np.asarray(np.arange(width) < counts[..., None])
