"""Feature table of a request for trees, one row for each candidate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.contract.schema.declared import CLICKED, FieldKind, FieldScope
from model.contract.schema.fitted import FIRST_VALUE_OFFSET, PADDING_INDEX, FittedSchema
from model.nets.request_tensors import RequestTensors

FeatureTable = NDArray[np.float32]


class TreeFeatures:
    """Columns: position, candidate and user fields, counts of past items with the same value."""

    def __init__(self, schema: FittedSchema) -> None:
        candidate = [f for f in schema.candidate_fields for _ in range(f.width)]
        user = [f for f in schema.user_fields for _ in range(f.width)]
        self._offset = np.array([schema.block_starts[f.name] for f in candidate])
        self._user_offset = np.array([schema.block_starts[f.name] for f in user])
        self._clicked = schema.block_starts[CLICKED] + FIRST_VALUE_OFFSET + 1
        self._shared, self._clicked_column = [], 0
        column = 0
        for field in schema.session_fields:
            if field.name == CLICKED:
                self._clicked_column = column
            elif field.scope is FieldScope.ITEM:
                self._shared.append((column, field.width))  # item fields come first in both
            column += field.width
        coded = [
            f.kind is not FieldKind.NUMERIC and not f.rank_buckets for f in [*candidate, *user]
        ]
        self.categorical_columns = [1 + i for i, is_coded in enumerate(coded) if is_coded]

    def feature_table(self, request: RequestTensors) -> FeatureTable:
        """(B, N, columns) float32 codes within each field; -1 in unused columns."""
        candidates = request.candidates.cpu().numpy()
        b, n, _ = candidates.shape
        place = np.broadcast_to(np.arange(n)[None, :, None], (b, n, 1))
        user = _codes_in_field(request.user.cpu().numpy(), self._user_offset)
        parts: list[NDArray[Any]] = [
            place,
            _codes_in_field(candidates, self._offset),
            np.broadcast_to(user[:, None], (b, n, user.shape[1])),
            self._past(candidates, request),
        ]
        return np.concatenate(parts, axis=-1).astype(np.float32)

    def _past(self, candidates: NDArray[np.int32], request: RequestTensors) -> NDArray[np.int64]:
        """(B, N, 2 * item fields) counts of past items with the same value: shown, clicked."""
        sessions = request.sessions.cpu().numpy()
        past = sessions.reshape(len(sessions), -1, sessions.shape[-1])  # (B, H * M, Fs)
        past_valid = request.sess_valid.cpu().numpy().reshape(len(sessions), -1)
        clicked = past_valid & (past[..., self._clicked_column] == self._clicked)
        counts = []
        for start, width in self._shared:
            same = np.zeros((*candidates.shape[:2], past.shape[1]), dtype=bool)
            for column in range(start, start + width):
                value = candidates[:, :, column, None]
                for past_column in range(start, start + width):
                    same |= (value == past[:, None, :, past_column]) & (value != PADDING_INDEX)
            counts += [(same & mask[:, None]).sum(axis=-1) for mask in (past_valid, clicked)]
        return np.stack(counts, axis=-1)


def _codes_in_field(rows: NDArray[np.int32], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(rows == PADDING_INDEX, -1, rows - offset)
