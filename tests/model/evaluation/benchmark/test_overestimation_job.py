from __future__ import annotations

import numpy as np
import pytest

from model.evaluation.benchmark.overestimation_job import (
    Overestimation,
    measure_overestimation,
    min_covering_risk_aversion,
)

# two members, one request, two lists and the input list; gains (.4, .2) and (.9, -.1)
REWARDS = np.array([[[1.4, 1.9, 1.0]], [[1.2, 0.9, 1.0]]])
HOLDOUT_REWARDS = np.array([[[2.1, 1.5, 2.0]]])


@pytest.mark.parametrize(
    ("risk_aversion", "predicted_gain", "holdout_gain", "member_std"),
    [
        (0.0, 0.4, -0.5, 0.5),  # the second list: means .3 and .4
        (1.0, 0.3, 0.1, 0.1),  # the first list: .3 - .1 against .4 - .5
        (4.0, 0.0, 0.0, 0.0),  # the input list
    ],
)
def test_measure_overestimation_by_risk_aversion_uses_served_lists(
    risk_aversion: float, predicted_gain: float, holdout_gain: float, member_std: float
):
    point = measure_overestimation(REWARDS, HOLDOUT_REWARDS, risk_aversion)

    assert point.predicted_gain == pytest.approx(predicted_gain)
    assert point.holdout_gain == pytest.approx(holdout_gain)
    assert point.member_std == pytest.approx(member_std)


def overestimation_point(risk_aversion: float, holdout_gain: float) -> Overestimation:
    return Overestimation(
        risk_aversion=risk_aversion, predicted_gain=1.0, holdout_gain=holdout_gain, member_std=0.25
    )


def test_min_covering_risk_aversion_is_smallest_covered():
    assert (
        min_covering_risk_aversion(
            [
                overestimation_point(0.0, 0.5),
                overestimation_point(1.0, 0.5),
                overestimation_point(2.0, 0.5),
                overestimation_point(3.0, 0.5),
            ]
        )
        == 2
    )
    assert min_covering_risk_aversion([overestimation_point(0.0, 1.0)]) == 0, (
        "no overestimation needs no risk aversion"
    )
    assert (
        min_covering_risk_aversion([overestimation_point(0.0, 0.5), overestimation_point(1.0, 0.5)])
        is None
    )
