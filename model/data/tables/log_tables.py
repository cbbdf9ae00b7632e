"""A whole log as arrays of encoded rows, from which batches are gathered by row.

Rows are ordered by (timestamp, request id). Holds no raw values and draws nothing at random.
`table_builder` builds the tables from a log, `table_cache` keeps them on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.contract.schema.declared import DeclaredSchema
from model.contract.schema.fitted import EmbeddingIndices, FittedSchema, column_count
from model.contract.schema.item_table import ItemTable
from model.data.log.log_info import LogInfo
from model.data.log.ragged import IntArray


@dataclass(frozen=True)
class UserTable:
    """All users.

    ids: U ids.
    rows: (U, user columns) int32, `user_id` first.
    """

    ids: Sequence[str]
    rows: EmbeddingIndices


@dataclass(frozen=True)
class LogTables:
    """R requests, up to N candidates and M slots each, S sessions; cells past a count are padding.

    request_ids: (R,) text.
    user_index: (R,) int32, row of `users`.
    timestamp: (R,) int64 Unix ms.
    part: (R,) int8: `split.TRAIN`, `VALIDATION`, `TEST`.
    candidates: (R, N) int32, row of `items.rows_with_default`; its last, the default, in padding.
    candidate_rows: (R, N, Cc) int32, candidate-scope columns.
    cand_count: (R,) int32, candidates of each row.
    shown: (R, M) int32, index among the candidates of the row, 0 in padding.
    shown_count: (R,) int32, shown items of each row.
    clicks, conversions: (R, M) int8; -1 in padding, and for a conversion that is not known.
        Clicks are float32 probabilities after `oracle_labels.with_oracle_clicks`.
    user_rows: (R, Fu) int32, user and context columns.
    sessions: (R, H) int32, row of the session bank, newest first, -1 for none.
    session_items: (S, M) int32, row of `items.rows_with_default`.
    session_count: (S,) int32, items of each session.
    session_feedback: (S, M, 2) int32, embedding rows of clicked and converted.
    candidate_clicks, candidate_conversions: (R, N) int8, -1 where not known; None when the log has
        labels of shown items only.
    fingerprint: hash of the files of the log.
    """

    schema: FittedSchema
    declared_schema: DeclaredSchema
    info: LogInfo
    items: ItemTable
    users: UserTable
    request_ids: NDArray[np.str_]
    user_index: NDArray[np.int32]
    timestamp: IntArray
    part: NDArray[np.int8]
    candidates: NDArray[np.int32]
    candidate_rows: EmbeddingIndices
    cand_count: NDArray[np.int32]
    shown: NDArray[np.int32]
    shown_count: NDArray[np.int32]
    clicks: NDArray[np.int8] | NDArray[np.float32]
    conversions: NDArray[np.int8]
    user_rows: EmbeddingIndices
    sessions: NDArray[np.int32]
    session_items: NDArray[np.int32]
    session_feedback: EmbeddingIndices
    session_count: NDArray[np.int32]
    candidate_clicks: NDArray[np.int8] | None
    candidate_conversions: NDArray[np.int8] | None
    fingerprint: str

    def __len__(self) -> int:
        """R, the logged requests."""
        return len(self.part)

    @property
    def max_candidates(self) -> int:
        """N, the longest candidate list."""
        return int(self.candidates.shape[1])

    @property
    def slots(self) -> int:
        """M, the longest shown list."""
        return int(self.shown.shape[1])

    @property
    def list_size(self) -> int:
        """Default size of a served list."""
        return min(self.info.list_size, self.slots) if self.info.list_size else self.slots

    @property
    def history_length(self) -> int:
        """H, the past sessions of a row."""
        return int(self.sessions.shape[1])

    @cached_property
    def input_widths(self) -> dict[str, int]:
        """Fc, Fs and Fu by the name of the graph input."""
        return {
            "candidates": column_count(self.schema.candidate_fields),
            "sessions": column_count(self.schema.session_fields),
            "user": column_count(self.schema.user_fields),
        }

    @cached_property
    def has_conversions(self) -> bool:
        """True when any conversion of the log is known."""
        return bool((self.conversions >= 0).any())

    def part_rows(self, part: int) -> IntArray:
        """(P,) int64 rows of one part, earliest first."""
        return np.flatnonzero(self.part == part)
