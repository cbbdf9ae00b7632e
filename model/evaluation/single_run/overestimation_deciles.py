"""Overestimation of served lists: predicted against actual reward, by decile of prediction.

A search exploits errors of the evaluator, most where the predicted reward is highest.
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
    """Mean rewards of the lists of a tenth of the requests.

    Attributes:
        num_requests: requests in the decile.
        predicted: mean reward by the selecting evaluator.
        actual: mean reward by ground truth or labels.
    """

    num_requests: int
    predicted: float
    actual: float

    @property
    def overestimation(self) -> float:
        """(predicted - actual) / actual; NaN if the actual reward is 0."""
        return (self.predicted - self.actual) / self.actual if self.actual else float("nan")


def reward_deciles(
    predicted: Floats, actual: Floats, num_groups: int = NUM_DECILES
) -> list[Decile]:
    """Groups of requests in ascending order of the predicted reward.

    Args:
        predicted: (R,) predicted rewards.
        actual: (R,) actual rewards.
        num_groups: number of groups, at most R; their sizes differ by at most one.
    """
    order = np.argsort(predicted, kind="stable")
    return [
        Decile(
            num_requests=len(group),
            predicted=float(predicted[group].mean()),
            actual=float(actual[group].mean()),
        )
        for group in np.array_split(order, min(num_groups, len(order)))
    ]


def actual_rewards(
    tables: LogTables,
    world: ClickWorld | None,
    objective: RewardWeights,
    rows: NDArray[np.intp],
    lists: NDArray[np.int64],
) -> Floats | None:
    """(R,) actual rewards of lists (R, M) under the objective; None if they are unknown.

    A click world has the click probability of every slot; otherwise the labels of all candidates
    are used. Conversions and item values are unknown in both cases.
    """
    if objective.conversion or objective.value:
        return None
    valid = np.arange(lists.shape[1]) < tables.shown_count[rows, None]
    if world is not None:
        items = np.take_along_axis(tables.candidates[rows], lists, axis=1)
        clicks = world.click_probabilities(tables.user_index[rows], items)
    elif tables.candidate_clicks is not None:
        label = (tables.candidate_clicks[rows] > 0).astype(np.float64)
        clicks = np.take_along_axis(label, lists, axis=1)
    else:
        return None
    weights = slot_weights(lists.shape[1], objective.discount).astype(np.float64)
    return np.asarray(objective.click * (clicks * weights * valid).sum(axis=1), dtype=np.float64)
