"""Rows of a log -> the numpy arrays that the graphs take. The torch twin is `batches.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.contract.encode import Rows
from model.contract.fitted import PADDING_ROW
from model.data.log_tables import LogTables

Bools = NDArray[np.bool_]


class RequestArrays(NamedTuple):
    """A batch of encoded requests; shapes and meaning as in `nets.inputs.RequestTensors`."""

    candidates: Rows
    cand_valid: Bools
    slot_valid: Bools
    user: Rows
    sessions: Rows
    sess_valid: Bools


def gather_arrays(tables: LogTables, rows: NDArray[np.integer[Any]]) -> RequestArrays:
    """Inputs of the given rows (B,), with the slots that were shown."""
    items = tables.items.padded_rows
    cand_valid = below(tables.cand_count[rows], tables.max_candidates)
    candidates = np.concatenate(
        [items[tables.candidates[rows]], tables.candidate_rows[rows]], axis=-1
    )
    bank = tables.sessions[rows]
    held = np.maximum(bank, 0)
    sess_valid = below(tables.session_count[held], tables.slots) & (bank >= 0)[..., None]
    sessions = np.concatenate(
        [items[tables.session_items[held]], tables.session_feedback[held]], axis=-1
    )
    return RequestArrays(
        candidates=np.where(cand_valid[..., None], candidates, PADDING_ROW).astype(np.int32),
        cand_valid=cand_valid,
        slot_valid=below(tables.shown_count[rows], tables.slots),
        user=np.asarray(tables.user_rows[rows]),
        sessions=np.where(sess_valid[..., None], sessions, PADDING_ROW).astype(np.int32),
        sess_valid=sess_valid,
    )


def below(counts: NDArray[np.integer[Any]], width: int) -> Bools:
    """counts.shape + (width,): True in the first `count` places."""
    return np.asarray(np.arange(width) < counts[..., None])
