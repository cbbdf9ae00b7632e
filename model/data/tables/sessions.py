"""Past lists of a user: one bank of sessions, and for each row which of them it may see.

A row sees only sessions strictly before its own timestamp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.data.log.ragged import IntArray

NO_SESSION = -1


@dataclass(frozen=True)
class SessionIndex:
    """One session a user and timestamp, ordered by user, then time.

    row: (S,) int64, the log row that a session shows.
    user: (S,) int64. timestamp: (S,) int64.
    """

    log_rows: IntArray
    user: IntArray
    timestamp: IntArray

    def newest_before(self, user: IntArray, before: IntArray, count: int) -> NDArray[np.int32]:
        """(Q, count) int32 sessions of each user strictly before the moment, newest first.

        Args:
            user: (Q,) places. before: (Q,) timestamps.
            before: (Q,) Unix ms.
            count: H; NONE fills up.
        """
        rank = np.unique(np.concatenate([self.timestamp, before]), return_inverse=True)[1]
        held, asked = rank[: len(self.timestamp)], rank[len(self.timestamp) :]
        span = int(rank.max(initial=0)) + 1
        end = np.searchsorted(self.user * span + held, user * span + asked, side="left")
        start = np.searchsorted(self.user, user, side="left")
        at = end[:, None] - 1 - np.arange(count)
        return np.where(at >= start[:, None], at, NO_SESSION).astype(np.int32)


def build_session_index(user: NDArray[np.int32], timestamp: IntArray) -> SessionIndex:
    """Find the sessions of a log.

    Args:
        user: (R,) places.
        timestamp: (R,) Unix ms. Of several rows with one user and timestamp the first stands for
            the session.
    """
    wide = user.astype(np.int64)
    order = np.lexsort((np.arange(len(wide)), timestamp, wide))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(wide[order]) != 0) | (np.diff(timestamp[order]) != 0)
    row = order[new]
    return SessionIndex(log_rows=row, user=wide[row], timestamp=timestamp[row])
