"""Whether promises are kept: the evaluator's reward of served lists beside what they are worth.

A search under an evaluator finds its mistakes, and finds them where it promises most. So the
promise is looked at by tenths of the requests in the order of what they are promised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.contract.scoring.objective import RewardWeights, slot_weights
from model.data.simulation.ground_truth import ClickWorld
from model.data.tables.log_tables import LogTables

Floats = NDArray[np.float64]
NUM_DECILES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Decile:
    """Mean reward of the lists of a tenth of the requests.

    promised: by the evaluator that chose them. kept: what they are worth.
    """

    num_requests: int
    predicted: float
    actual: float

    @property
    def overestimation(self) -> float:
        """Promised less kept, as a share of what is kept; NaN where nothing is."""
        return (self.predicted - self.actual) / self.actual if self.actual else float("nan")


def reward_deciles(
    predicted: Floats, actual: Floats, num_groups: int = NUM_DECILES
) -> list[Decile]:
    """Requests (R,) by what they are promised, the least first; at most R parts, all of one size.

    Sizes differ by one where R does not divide.
    """
    order = np.argsort(predicted, kind="stable")
    return [
        Decile(
            num_requests=len(some),
            predicted=float(predicted[some].mean()),
            actual=float(actual[some].mean()),
        )
        for some in np.array_split(order, min(num_groups, len(order)))
    ]


def actual_rewards(
    tables: LogTables,
    world: ClickWorld | None,
    objective: RewardWeights,
    rows: NDArray[np.intp],
    lists: NDArray[np.int64],
) -> Floats | None:
    """(R,) what (R, M) lists are worth under the objective; None where no log can tell.

    A simulated log's world knows the chance of a click in every slot; a log with the labels of
    all candidates knows the clicks. Neither knows of conversions.
    """
    if objective.conversion or objective.value:
        return None
    there = np.arange(lists.shape[1]) < tables.shown_count[rows, None]
    if world is not None:
        items = np.take_along_axis(tables.candidates[rows], lists, axis=1)
        clicks = world.click_probabilities(tables.user_index[rows], items)
    elif tables.candidate_clicks is not None:
        label = (tables.candidate_clicks[rows] > 0).astype(np.float64)
        clicks = np.take_along_axis(label, lists, axis=1)
    else:
        return None
    weights = slot_weights(lists.shape[1], objective.discount).astype(np.float64)
    return np.asarray(objective.click * (clicks * weights * there).sum(axis=1), dtype=np.float64)
