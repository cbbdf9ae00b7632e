"""Rows of a log as numpy arrays for the graphs; `batches` gathers the same as torch tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.contract.schema.fitted import PADDING_INDEX, EmbeddingIndices
from model.data.tables.log_tables import LogTables

BoolArray = NDArray[np.bool_]


class RequestArrays(NamedTuple):
    """A batch of encoded requests; shapes as in `model.nets.request_tensors.RequestTensors`."""

    candidates: EmbeddingIndices
    cand_valid: BoolArray
    slot_valid: BoolArray
    user: EmbeddingIndices
    sessions: EmbeddingIndices
    sess_valid: BoolArray


def gather_request_arrays(tables: LogTables, rows: NDArray[np.integer[Any]]) -> RequestArrays:
    """Inputs of the rows (B,); `slot_valid` marks the shown slots."""
    items = tables.items.rows_with_default
    cand_valid = prefix_mask(tables.cand_count[rows], tables.max_candidates)
    candidates = np.concatenate(
        [items[tables.candidates[rows]], tables.candidate_rows[rows]], axis=-1
    )
    bank = tables.sessions[rows]
    bank_rows = np.maximum(bank, 0)
    sess_valid = prefix_mask(tables.session_count[bank_rows], tables.slots) & (bank >= 0)[..., None]
    sessions = np.concatenate(
        [items[tables.session_items[bank_rows]], tables.session_feedback[bank_rows]], axis=-1
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
    """counts.shape + (width,): bool, True in the first `count` cells."""
    return np.asarray(np.arange(width) < counts[..., None])
