"""What a refiner's graph is told is what the reward counts."""

import numpy as np
import pytest

from model.contract.choice import Objective, reward
from model.contract.refine import ascend, movable, worth

VALID = np.array([[True, True, True], [True, True, False]])
VALUES = np.array([[3.0, np.nan, 1.0, 2.0], [0.5, 4.0, 2.0, 1.0]])


@pytest.mark.parametrize(
    "objective",
    [
        Objective(),
        Objective(click=0.5, conversion=2.0),
        Objective(click=0.0, conversion=1.0, value=0.3, discount=1.0),
    ],
)
def test_slots_clicks_and_conversions_count_what_the_reward_of_the_contract_says(objective):
    rng = np.random.default_rng(0)
    lists = np.array([[2, 0, 1], [3, 1, 0]])
    p, p_conversion = rng.random((2, 2, 2, 3))  # (E, B, M) each
    told = worth(objective, VALID, VALUES, 4)

    conversion = np.take_along_axis(told["conversion_worth"], lists, axis=1)
    got = (told["slot_weight"] * p * (told["click_worth"] + p_conversion * conversion)).sum(-1)

    shown = np.take_along_axis(VALUES, lists, axis=1)[:, None]
    expected = reward(p[:, :, None], p_conversion[:, :, None], shown, VALID, objective)[..., 0]
    assert got == pytest.approx(expected, rel=1e-6)
    assert expected.std() > 0.05


def test_conversions_that_were_never_learned_count_nothing():
    told = worth(Objective(conversion=1.0, value=1.0), VALID, VALUES, 4, converts=False)

    assert (told["conversion_worth"] == 0).all()


def test_what_is_pinned_does_not_move_and_the_next_request_is_free():
    allowed = np.array([[True, True, True, False], [True, True, True, True]])
    editable = np.array([[True, False, True], [True, True, False]])  # slot 2 of row 1 is not there
    start = np.array([[0, 2, 1], [1, 0, 0]])

    free = movable(allowed, VALID, editable, start)

    assert free.tolist() == [[True, True, False, False], [True, True, True, True]]
    assert allowed[0, 2]  # what was given stays as it is


def test_an_ascent_ends_where_nothing_gains_or_the_steps_are_over():
    seen = []

    def towards_three(at):
        seen.append(at.tolist())
        return np.minimum(at + 1, 3)

    start = np.array([[1], [3]])
    assert ascend(towards_three, start, rounds=9).tolist() == [[3], [3]]
    assert seen == [[[1], [3]], [[2], [3]], [[3], [3]]]
    assert ascend(towards_three, start, rounds=1).tolist() == [[2], [3]]
