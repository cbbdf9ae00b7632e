"""Which part of the log a row belongs to: training, validation or test. Later is never training.

Rows of one user with one timestamp are one sitting and never parted.
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
        user_place: (R,) int32, place in `user_ids`.
        timestamp: (R,) int64.
        user_ids: all users.
        info: how to split and the shares.

    Returns:
        (R,) int8: TRAIN, VALIDATION or TEST.
    """
    user, moment, sitting = _user_sessions(user_index, timestamp)
    position = (
        _timeline_share(user, user_ids) if info.split == SPLIT_BY_USER else _log_position(moment)
    )
    bounds = np.cumsum(info.shares)[:2]
    part = np.searchsorted(bounds, position, side="right")
    return part.astype(np.int8)[sitting]


def first_user_half_mask(user_ids: Sequence[str]) -> NDArray[np.bool_]:
    """(U,) whether a user is of the first half: by a hash of the id, whatever the log holds."""
    return np.asarray([_user_hash(user_id, b"half") < 0.5 for user_id in user_ids])


def alternate_session_mask(user_index: NDArray[np.int32], timestamp: IntArray) -> NDArray[np.bool_]:
    """(R,) bool: rows of every second sitting of each user's own timeline, the first among them."""
    user, _, sitting = _user_sessions(user_index, timestamp)
    return np.asarray(_timeline_positions(user) % 2 == 0)[sitting]


def _user_sessions(
    user_place: NDArray[np.int32], timestamp: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """User and moment of each sitting, by user and then by time, and the sitting of each row."""
    pairs = np.stack([user_place.astype(np.int64), timestamp])
    sittings, of_row = np.unique(pairs, axis=1, return_inverse=True)
    return sittings[0], sittings[1], np.reshape(of_row, -1)


def _timeline_positions(user: IntArray) -> IntArray:
    """Place of each sitting in its user's timeline, from 0."""
    return np.asarray(np.arange(len(user)) - np.searchsorted(user, user, side="left"))


def _log_position(moment: IntArray) -> NDArray[np.float64]:
    """Share of all sittings that began strictly earlier; sittings of one moment stay together."""
    return np.searchsorted(np.sort(moment), moment, side="left") / len(moment)


def _timeline_share(user: IntArray, user_ids: Sequence[str]) -> NDArray[np.float64]:
    """Place of each sitting in its user's timeline, in [0, 1).

    The k-th of n sittings stands at (k + d) / n, d a fixed number of the user in [0, 1). With a
    common d, all users with one or two sittings would fall into the same parts.
    """
    first = np.searchsorted(user, user, side="left")
    count = np.searchsorted(user, user, side="right") - first
    shift = np.asarray([_user_hash(user_ids[u]) for u in np.unique(user)])
    own = shift[np.unique(user, return_inverse=True)[1]]
    return (_timeline_positions(user) + own) / count


def _user_hash(user_id: str, purpose: bytes = b"") -> float:
    """A fixed number in [0, 1) of each user."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=6, person=purpose).digest()
    return int.from_bytes(digest, "little") / 2.0**48
