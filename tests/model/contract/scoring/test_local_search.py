"""What a refiner's graph is told is what the reward counts."""

import numpy as np
import pytest

from model.contract.scoring.local_search import (
    iterate_local_search,
    reward_weight_inputs,
    swappable_candidates,
)
from model.contract.scoring.objective import RewardWeights, compute_rewards

VALID = np.array([[True, True, True], [True, True, False]])
VALUES = np.array([[3.0, np.nan, 1.0, 2.0], [0.5, 4.0, 2.0, 1.0]])


@pytest.mark.parametrize(
    "objective",
    [
        RewardWeights(),
        RewardWeights(click=0.5, conversion=2.0),
        RewardWeights(click=0.0, conversion=1.0, value=0.3, discount=1.0),
    ],
)
def test_reward_weight_inputs_reproduce_compute_rewards(objective):
    rng = np.random.default_rng(0)
    lists = np.array([[2, 0, 1], [3, 1, 0]])
    p, p_conversion = rng.random((2, 2, 2, 3))  # (E, B, M) each
    told = reward_weight_inputs(objective, VALID, VALUES, 4)

    conversion = np.take_along_axis(told["conversion_worth"], lists, axis=1)
    got = (told["slot_weight"] * p * (told["click_worth"] + p_conversion * conversion)).sum(-1)

    shown = np.take_along_axis(VALUES, lists, axis=1)[:, None]
    expected = compute_rewards(p[:, :, None], p_conversion[:, :, None], shown, VALID, objective)[
        ..., 0
    ]
    counted = objective.conversion + objective.value * np.nan_to_num(VALUES)
    most = np.maximum(counted.max(axis=1), objective.click)  # (B,)
    assert got * most == pytest.approx(expected, rel=1e-6)
    assert expected.std() > 0.05


@pytest.mark.parametrize("scale", [1e-4, 1e6])
def test_reward_weight_inputs_are_scale_invariant(scale):
    own = RewardWeights(click=0.5, conversion=0.2, value=0.3)
    other = RewardWeights(click=0.5 * scale, conversion=0.2 * scale, value=0.3 * scale)

    told, scaled = (
        reward_weight_inputs(own, VALID, VALUES, 4),
        reward_weight_inputs(other, VALID, VALUES, 4),
    )
    cents = reward_weight_inputs(
        RewardWeights(click=0.5, conversion=0.2, value=3e-3), VALID, VALUES * 100, 4
    )

    for name, expected in told.items():
        assert scaled[name] == pytest.approx(expected, rel=1e-6)
        assert cents[name] == pytest.approx(expected, rel=1e-6)
    # row 0: .2 + .3 * 3 is the most, row 1: .2 + .3 * 4
    assert told["conversion_worth"].max(axis=1) == pytest.approx([1.0, 1.0])
    assert told["click_worth"][:, 0] == pytest.approx([0.5 / 1.1, 0.5 / 1.4])


def test_reward_weight_inputs_zero_objective_gives_zeros():
    nothing = reward_weight_inputs(RewardWeights(click=0.0), VALID, VALUES, 4)
    clicks = RewardWeights(click=1e-3, conversion=9.0)

    assert (nothing["click_worth"] == 0).all()
    assert (nothing["conversion_worth"] == 0).all()
    assert (
        reward_weight_inputs(clicks, VALID, VALUES, 4, converts=False)["click_worth"] == 1
    ).all()


def test_reward_weight_inputs_untrained_conversions_are_zero():
    told = reward_weight_inputs(
        RewardWeights(conversion=1.0, value=1.0), VALID, VALUES, 4, converts=False
    )

    assert (told["conversion_worth"] == 0).all()


def test_swappable_candidates_excludes_pinned_items():
    allowed = np.array([[True, True, True, False], [True, True, True, True]])
    editable = np.array([[True, False, True], [True, True, False]])  # slot 2 of row 1 is not there
    start = np.array([[0, 2, 1], [1, 0, 0]])

    free = swappable_candidates(allowed, VALID, editable, start)

    assert free.tolist() == [[True, True, False, False], [True, True, True, True]]
    assert allowed[0, 2]  # what was given stays as it is


def test_iterate_local_search_stops_without_improvement():
    seen = []

    def towards_three(at):
        seen.append(at.tolist())
        return np.minimum(at + 1, 3)

    start = np.array([[1], [3]])
    assert iterate_local_search(towards_three, start, max_rounds=9).tolist() == [[3], [3]]
    assert seen == [[[1], [3]], [[2], [3]], [[3], [3]]]
    assert iterate_local_search(towards_three, start, max_rounds=1).tolist() == [[2], [3]]
