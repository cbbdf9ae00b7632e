"""Splits a log into training, validation and test; later rows are never training.

Rows of one user and timestamp are one session and stay in one part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.data.log.log_info import SPLIT_BY_USER, LogInfo
from model.data.log.ragged import IntArray

TRAIN, VALIDATION, TEST = 0, 1, 2


def assign_parts(
    user_index: NDArray[np.int32], timestamp: IntArray, user_ids: Sequence[str], info: LogInfo
) -> NDArray[np.int8]:
    """The part of each row.

    Args:
        user_index: (R,) int32, index in `user_ids`.
        timestamp: (R,) int64 Unix ms.
        user_ids: all users.
        info: kind of split and shares.

    Returns:
        (R,) int8: TRAIN, VALIDATION or TEST.
    """
    user, session_timestamp, session = _user_sessions(user_index, timestamp)
    position = (
        _timeline_share(user, user_ids)
        if info.split == SPLIT_BY_USER
        else _log_position(session_timestamp)
    )
    bounds = np.cumsum(info.shares)[:2]
    part = np.searchsorted(bounds, position, side="right")
    return part.astype(np.int8)[session]


def first_user_half_mask(user_ids: Sequence[str]) -> NDArray[np.bool_]:
    """(U,) bool, True for users of the first half; depends only on the hash of the id."""
    return np.asarray([_user_hash(user_id, b"half") < 0.5 for user_id in user_ids])


def alternate_session_mask(user_index: NDArray[np.int32], timestamp: IntArray) -> NDArray[np.bool_]:
    """(R,) bool, True for rows of sessions 0, 2, 4, .. of the timeline of each user."""
    user, _, session = _user_sessions(user_index, timestamp)
    return np.asarray(_timeline_positions(user) % 2 == 0)[session]


def _user_sessions(
    user_index: NDArray[np.int32], timestamp: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """(S,) user and (S,) timestamp of each session, by user and time; (R,) session of each row."""
    pairs = np.stack([user_index.astype(np.int64), timestamp])
    sessions, row_session = np.unique(pairs, axis=1, return_inverse=True)
    return sessions[0], sessions[1], np.reshape(row_session, -1)


def _timeline_positions(user: IntArray) -> IntArray:
    """(S,) int64 position of each session in the timeline of its user, from 0."""
    return np.asarray(np.arange(len(user)) - np.searchsorted(user, user, side="left"))


def _log_position(timestamp: IntArray) -> NDArray[np.float64]:
    """(S,) share of all sessions that are strictly earlier."""
    return np.searchsorted(np.sort(timestamp), timestamp, side="left") / len(timestamp)


def _timeline_share(user: IntArray, user_ids: Sequence[str]) -> NDArray[np.float64]:
    """(S,) position of each session in the timeline of its user, in [0, 1).

    Session k of n is at (k + d) / n, where d in [0, 1) is a hash of the user id. With a common d,
    all users with one or two sessions would fall into the same parts.
    """
    first = np.searchsorted(user, user, side="left")
    count = np.searchsorted(user, user, side="right") - first
    shift = np.asarray([_user_hash(user_ids[u]) for u in np.unique(user)])
    user_shift = shift[np.unique(user, return_inverse=True)[1]]
    return (_timeline_positions(user) + user_shift) / count


def _user_hash(user_id: str, purpose: bytes = b"") -> float:
    """Hash of a user id, in [0, 1)."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=6, person=purpose).digest()
    return int.from_bytes(digest, "little") / 2.0**48
