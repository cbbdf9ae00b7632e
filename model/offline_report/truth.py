"""What lists are truly worth: expected clicks in a click world, real labels where all are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.data.log_tables import LogTables
from model.data.worlds import ClickWorld
from model.metrics import ndcg
from model.search import every_list

Floats = NDArray[np.float64]


def true_values(
    world: ClickWorld, tables: LogTables, rows: NDArray[np.intp], lists: NDArray[np.int64]
) -> Floats:
    """(B,) expected clicks of (B, M) lists of places in the candidates."""
    items = np.take_along_axis(tables.candidates[rows], lists, axis=1)
    return np.asarray(world.expected_clicks(tables.user_place[rows], items), dtype=np.float64)


def best_true_values(world: ClickWorld, tables: LogTables, rows: NDArray[np.intp]) -> Floats:
    """(B,) expected clicks of the best list of each space, by enumeration."""
    spaces = every_list(tables.max_candidates, tables.slots).numpy()
    return np.array(
        [
            world.expected_clicks(int(tables.user_place[row]), tables.candidates[row][spaces]).max()
            for row in rows
        ]
    )


def labelled_quality(
    tables: LogTables, rows: NDArray[np.intp], lists: NDArray[np.int64], k: int
) -> dict[str, Floats]:
    """Per request: NDCG@k and Precision@k of a list, by the labels of every candidate.

    The ideal order ranks all candidates; a request without a click has no NDCG (NaN).
    """
    clicks = tables.candidate_clicks
    if clicks is None:
        raise ValueError("this log does not know the labels of all candidates")
    label = np.where(clicks[rows] > 0, 1.0, 0.0)
    valid = np.arange(tables.max_candidates) < tables.cand_count[rows, None]
    score = np.full(label.shape, -1.0)
    np.put_along_axis(
        score, lists, np.arange(lists.shape[1], 0, -1.0)[None].repeat(len(rows), 0), 1
    )
    shown = np.take_along_axis(label, lists[:, :k], axis=1)
    return {f"ndcg@{k}": ndcg(score, label, valid, k), f"precision@{k}": shown.mean(axis=1)}
