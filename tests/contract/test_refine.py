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
def test_slots_clicks_and_conversions_count_the_contracts_share_of_what_counts_most(objective):
    rng = np.random.default_rng(0)
    lists = np.array([[2, 0, 1], [3, 1, 0]])
    p, p_conversion = rng.random((2, 2, 2, 3))  # (E, B, M) each
    told = worth(objective, VALID, VALUES, 4)

    conversion = np.take_along_axis(told["conversion_worth"], lists, axis=1)
    got = (told["slot_weight"] * p * (told["click_worth"] + p_conversion * conversion)).sum(-1)

    shown = np.take_along_axis(VALUES, lists, axis=1)[:, None]
    expected = reward(p[:, :, None], p_conversion[:, :, None], shown, VALID, objective)[..., 0]
    counted = objective.conversion + objective.value * np.nan_to_num(VALUES)
    most = np.maximum(counted.max(axis=1), objective.click)  # (B,)
    assert got * most == pytest.approx(expected, rel=1e-6)
    assert expected.std() > 0.05


@pytest.mark.parametrize("scale", [1e-4, 1e6])
def test_the_currency_that_worth_is_told_in_changes_nothing(scale):
    own = Objective(click=0.5, conversion=0.2, value=0.3)
    other = Objective(click=0.5 * scale, conversion=0.2 * scale, value=0.3 * scale)

    told, scaled = worth(own, VALID, VALUES, 4), worth(other, VALID, VALUES, 4)
    cents = worth(Objective(click=0.5, conversion=0.2, value=3e-3), VALID, VALUES * 100, 4)

    for name, expected in told.items():
        assert scaled[name] == pytest.approx(expected, rel=1e-6)
        assert cents[name] == pytest.approx(expected, rel=1e-6)
    # row 0: .2 + .3 * 3 is the most, row 1: .2 + .3 * 4
    assert told["conversion_worth"].max(axis=1) == pytest.approx([1.0, 1.0])
    assert told["click_worth"][:, 0] == pytest.approx([0.5 / 1.1, 0.5 / 1.4])


def test_where_nothing_counts_all_is_zero_and_what_counts_nothing_sets_no_scale():
    nothing = worth(Objective(click=0.0), VALID, VALUES, 4)
    clicks = Objective(click=1e-3, conversion=9.0)

    assert (nothing["click_worth"] == 0).all()
    assert (nothing["conversion_worth"] == 0).all()
    assert (worth(clicks, VALID, VALUES, 4, converts=False)["click_worth"] == 1).all()


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
