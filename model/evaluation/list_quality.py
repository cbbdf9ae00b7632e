"""True quality of lists: expected clicks in a click world, or label metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.data.simulation.ground_truth import ClickWorld
from model.data.tables.log_tables import LogTables
from model.metrics import label_metrics_at_k
from model.search.scorer import enumerate_lists

Floats = NDArray[np.float64]
TRUE_VALUE_TOLERANCE = 1e-9  # smaller differences of true values are rounding errors


def true_values(
    world: ClickWorld, tables: LogTables, rows: NDArray[np.intp], lists: NDArray[np.int64]
) -> Floats:
    """(B,) expected clicks of lists (B, M) of candidate indices."""
    items = np.take_along_axis(tables.candidates[rows], lists, axis=1)
    return np.asarray(world.expected_clicks(tables.user_index[rows], items), dtype=np.float64)


def best_true_values(world: ClickWorld, tables: LogTables, rows: NDArray[np.intp]) -> Floats:
    """(B,) expected clicks of the best list of each request, by enumeration."""
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
    """Precision, F1, MAP and NDCG at k of lists (R, M) of candidate indices, (R,) each.

    Raises:
        ValueError: the log has no labels of all candidates.
    """
    clicks = tables.candidate_clicks
    if clicks is None:
        raise ValueError("the log has no labels of all candidates")
    label = np.where(clicks[rows] > 0, 1.0, 0.0)
    valid = np.arange(tables.max_candidates) < tables.cand_count[rows, None]
    shown_valid = np.arange(lists.shape[1]) < tables.shown_count[rows, None]
    shown = np.where(shown_valid, np.take_along_axis(label, lists, axis=1), 0.0)
    quality = label_metrics_at_k(shown, label, valid, k)
    return {name: np.asarray(values, dtype=np.float64) for name, values in quality.items()}
