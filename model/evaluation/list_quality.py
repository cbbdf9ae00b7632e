"""What lists are truly worth: expected clicks in a click world, real labels where all are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.data.simulation.ground_truth import ClickWorld
from model.data.tables.log_tables import LogTables
from model.metrics import label_metrics_at_k
from model.search.scorer import enumerate_lists

Floats = NDArray[np.float64]
TRUE_VALUE_TOLERANCE = 1e-9  # a true value that is lower by more than rounding


def true_values(
    world: ClickWorld, tables: LogTables, rows: NDArray[np.intp], lists: NDArray[np.int64]
) -> Floats:
    """(B,) expected clicks of (B, M) lists of places in the candidates."""
    items = np.take_along_axis(tables.candidates[rows], lists, axis=1)
    return np.asarray(world.expected_clicks(tables.user_index[rows], items), dtype=np.float64)


def best_true_values(world: ClickWorld, tables: LogTables, rows: NDArray[np.intp]) -> Floats:
    """(B,) expected clicks of the best list of each space, by enumeration."""
    spaces = enumerate_lists(tables.max_candidates, tables.slots).numpy()
    return np.array(
        [
            world.expected_clicks(int(tables.user_index[row]), tables.candidates[row][spaces]).max()
            for row in rows
        ]
    )


def request_label_metrics(
    tables: LogTables, rows: NDArray[np.intp], lists: NDArray[np.int64], k: int
) -> dict[str, Floats]:
    """Per request: Precision, F1, MAP and NDCG at k of (R, M) lists, by the labels of all."""
    clicks = tables.candidate_clicks
    if clicks is None:
        raise ValueError("this log does not know the labels of all candidates")
    label = np.where(clicks[rows] > 0, 1.0, 0.0)
    valid = np.arange(tables.max_candidates) < tables.cand_count[rows, None]
    there = np.arange(lists.shape[1]) < tables.shown_count[rows, None]
    shown = np.where(there, np.take_along_axis(label, lists, axis=1), 0.0)
    quality = label_metrics_at_k(shown, label, valid, k)
    return {name: np.asarray(values, dtype=np.float64) for name, values in quality.items()}
