"""The session bank of a log, and the sessions that each row may see.

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

    log_rows: (S,) int64, log row of each session.
    user: (S,) int64, row of the users.
    timestamp: (S,) int64 Unix ms.
    """

    log_rows: IntArray
    user: IntArray
    timestamp: IntArray

    def newest_before(self, user: IntArray, before: IntArray, count: int) -> NDArray[np.int32]:
        """(Q, count) int32 sessions of each user strictly before a timestamp, newest first.

        Args:
            user: (Q,) rows of the users.
            before: (Q,) Unix ms.
            count: H; missing sessions are NO_SESSION.
        """
        rank = np.unique(np.concatenate([self.timestamp, before]), return_inverse=True)[1]
        own_rank, before_rank = rank[: len(self.timestamp)], rank[len(self.timestamp) :]
        span = int(rank.max(initial=0)) + 1
        end = np.searchsorted(self.user * span + own_rank, user * span + before_rank, side="left")
        start = np.searchsorted(self.user, user, side="left")
        session = end[:, None] - 1 - np.arange(count)
        return np.where(session >= start[:, None], session, NO_SESSION).astype(np.int32)


def build_session_index(user: NDArray[np.int32], timestamp: IntArray) -> SessionIndex:
    """Index the sessions of a log: one for each user and timestamp.

    Args:
        user: (R,) int32, rows of the users.
        timestamp: (R,) int64 Unix ms. The first of several rows with one user and timestamp becomes
            the session.
    """
    wide = user.astype(np.int64)
    order = np.lexsort((np.arange(len(wide)), timestamp, wide))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(wide[order]) != 0) | (np.diff(timestamp[order]) != 0)
    row = order[new]
    return SessionIndex(log_rows=row, user=wide[row], timestamp=timestamp[row])
