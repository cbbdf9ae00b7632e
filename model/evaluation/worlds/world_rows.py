"""Statistics of a world's lists: true share, truly worse, promise over truth, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.evaluation.list_quality import TRUE_VALUE_TOLERANCE
from model.evaluation.single_run.overestimation_deciles import reward_deciles
from model.metrics import mean_ratio_interval, ndcg

NDCG_CUTOFF = 10
Floats = NDArray[np.float64]
ListMeasures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueValues:
    """True values of requests: of the input list and the best list (NaN where unknown).

    user: (R,) user of each request, the unit of resampling.
    """

    input: Floats
    best: Floats
    user: NDArray[np.int32]

    def ratio(self, top: Floats, bottom: Floats) -> list[float]:
        """Ratio of the sums of top (R,) and bottom (R,), and its 95 % interval over users."""
        each, low, high = mean_ratio_interval([(top, bottom)], self.user)
        return [each[0], low, high]

    def mean(self, values: Floats) -> list[float]:
        """Mean of values (R,), NaN left out, and its 95 % interval over users."""
        known = np.isfinite(values)
        return self.ratio(np.where(known, values, 0.0), known.astype(np.float64))


def list_measures(value: Floats, truth: TrueValues) -> ListMeasures:
    """`truly_worse`, `relative_gain` and, where best lists are known, `true_share`.

    value: (R,) true values of the lists.
    """
    worse = value < truth.input - TRUE_VALUE_TOLERANCE
    gain = value - truth.input
    measures = {
        "truly_worse": truth.mean(worse.astype(np.float64)),
        "relative_gain": truth.ratio(gain, truth.input),
    }
    known = np.isfinite(truth.best)
    if known.any():
        room = np.where(known, truth.best - truth.input, 0.0)
        measures["true_share"] = truth.ratio(np.where(known, gain, 0.0), room)
    return measures


def promise_measures(hoped: Floats, got: Floats, truth: TrueValues) -> ListMeasures:
    """Gain promised over gain true, in all and by decile of the promised gain.

    Args:
        hoped: (R,) gains over the input list that the evaluator promises.
        got: (R,) true gains.
        truth: of the requests.

    Returns:
        `promise_ratio` with its interval, `promised_gain` and `true_gain` (means), and
        `promise_deciles`: (promised, true) mean gain of each tenth, lowest promise first.
    """
    return {
        "promise_ratio": truth.ratio(hoped, got),
        "promised_gain": float(hoped.mean()),
        "true_gain": float(got.mean()),
        "promise_deciles": [[d.predicted, d.actual] for d in reward_deciles(hoped, got)],
    }


def logged_ndcg(
    lists: NDArray[Any], shown: NDArray[Any], clicks: NDArray[Any], truth: TrueValues
) -> list[float]:
    """NDCG@10 of orders (R, M) by the logged clicks of shown lists (R, M), with its interval.

    It is meant for logs whose lists show every candidate: an order then ranks the shown items.
    """
    place = np.argsort(lists, axis=1, kind="stable")  # (R, M) place of each candidate
    score = -np.take_along_axis(place, shown.astype(np.int64), axis=1).astype(np.float64)
    label = clicks.astype(np.float64)
    found = ndcg(score, label, np.ones(label.shape, dtype=bool), NDCG_CUTOFF)
    return truth.mean(found.astype(np.float64))


def decile_range(measures: Mapping[str, Any]) -> tuple[float, float]:
    """Lowest and highest promised over true gain among the deciles with a positive true gain.

    A decile whose true gain is not positive counts as infinite.
    """
    ratios = [
        hoped / got if got > 0 else float("inf") for hoped, got in measures["promise_deciles"]
    ]
    return min(ratios), max(ratios)
