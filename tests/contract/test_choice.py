"""What a list is worth and which one is served; every number here is worked out by hand."""

import math

import numpy as np
import pytest

from model.contract.choice import Objective, choose, decide, reward
from model.contract.choice_kernel import compare_lists, over_members, round_off

NAN = float("nan")


def rewards_of(*members):
    """Members x requests x lists -> (E, B, L)."""
    return np.array(members, dtype=np.float32)


def test_a_reward_adds_clicks_conversions_and_value_over_valid_slots_only():
    p_click = np.array([[[[0.5, 0.2, NAN]], [[0.1, 0.4, 1.0]]]])  # (E=1, B=2, L=1, M=3)
    p_conversion = np.array([[[[0.1, 0.5, 0.9]], [[1.0, 0.25, 0.0]]]])
    values = np.array([[[10.0, 2.0, 5.0]], [[1.0, 3.0, 7.0]]])
    valid = np.array([[True, True, False], [True, True, True]])
    weights = Objective(click=2.0, conversion=3.0, value=0.5)

    got = reward(p_click, p_conversion, values, valid, weights)

    expected = [
        0.5 * (2 + 0.1 * (3 + 0.5 * 10)) + 0.2 * (2 + 0.5 * (3 + 0.5 * 2)),
        0.1 * (2 + 1.0 * (3 + 0.5 * 1)) + 0.4 * (2 + 0.25 * (3 + 0.5 * 3)) + 1.0 * 2,
    ]
    assert got.shape == (1, 2, 1)
    assert got[0, :, 0].tolist() == pytest.approx(expected)


def test_with_a_discount_a_lower_slot_counts_less_and_one_is_the_discount_of_dcg():
    p_click = np.array([[[[0.5, 0.2, 0.1], [0.1, 0.2, 0.5]]]])

    plain = reward(p_click, None, None, None, Objective())
    dcg = reward(p_click, None, None, None, Objective(discount=1.0))
    steep = reward(p_click, None, None, None, Objective(discount=2.0))

    second, third = 1 / math.log2(3), 1 / math.log2(4)
    assert plain[0, 0].tolist() == pytest.approx([0.8, 0.8])
    expected = [0.5 + 0.2 * second + 0.1 * third, 0.1 + 0.2 * second + 0.5 * third]
    assert dcg[0, 0].tolist() == pytest.approx(expected, rel=1e-6)
    steeper = [0.5 + 0.2 * second**2 + 0.1 * third**2, 0.1 + 0.2 * second**2 + 0.5 * third**2]
    assert steep[0, 0].tolist() == pytest.approx(steeper, rel=1e-6)


def test_without_a_mask_every_slot_counts():
    p_click = np.random.default_rng(1).uniform(size=(2, 3, 4, 5)).astype(np.float32)
    every = np.ones((3, 5), dtype=bool)
    masked = reward(p_click, p_click, None, every, Objective(click=0.7, conversion=0.3))
    plain = reward(p_click, p_click, None, None, Objective(click=0.7, conversion=0.3))
    assert plain.dtype == masked.dtype
    assert plain.tobytes() == masked.tobytes()


def test_without_conversions_or_values_the_rest_of_the_objective_stays():
    p_click = np.array([[[[0.5, 0.25]], [[0.25, 0.0]]]])
    p_conversion = np.full_like(p_click, 0.5)
    valid = np.ones((2, 2), dtype=bool)
    weights = Objective(click=1.0, conversion=4.0, value=100.0)

    assert reward(p_click, None, None, valid, weights)[0, :, 0].tolist() == [0.75, 0.25]
    # each slot is worth 1 + .5 * 4
    assert reward(p_click, p_conversion, None, valid, weights)[0, :, 0].tolist() == [2.25, 0.75]


def test_an_item_without_a_value_counts_as_worth_nothing_and_spoils_no_list():
    p_click = np.array([[[[0.5, 0.5]], [[0.5, 0.5]]]])
    p_conversion = np.ones_like(p_click)
    values = np.array([[[NAN, 3.0]], [[1.0, NAN]]])
    got = reward(p_click, p_conversion, values, np.ones((2, 2), dtype=bool), Objective(value=1.0))

    assert got[0, :, 0].tolist() == [1 + 0.5 * 3, 1 + 0.5 * 1]


def test_the_best_gain_is_served_and_equals_go_to_the_lower_list():
    rewards = rewards_of([[1.0, 3.0, 2.0, 0.5], [4.0, 2.0, 4.0, 1.0], [0.0, 2.0, 9.0, 8.5]])
    assert choose(rewards, 0.0).tolist() == [1, 0, 2]


def test_the_input_list_wins_unless_a_gain_is_above_zero():
    rewards = rewards_of([[1.0, 2.0, 2.0], [1.0, 0.5, 2.0], [1.0, 2.5, 2.0]])
    assert choose(rewards, 0.0).tolist() == [2, 2, 1]


def test_nan_never_wins_and_never_hides_a_real_gain():
    rewards = rewards_of(
        [[NAN, 3.0, 1.0], [NAN, 0.5, 1.0], [NAN, NAN, 1.0], [5.0, 6.0, NAN], [3.0, NAN, 1.0]]
    )
    assert choose(rewards, 0.0).tolist() == [1, 2, 2, 2, 0]
    assert choose(rewards, 1.0).tolist() == [1, 2, 2, 2, 0]


def test_the_input_list_alone_is_served():
    assert choose(rewards_of([[7.0], [NAN]]), 0.5).tolist() == [0, 0]


def test_each_member_measures_its_gain_from_its_own_reward_of_the_input_list():
    # one member lives on a ten times higher level; gains of list 0: 2 and 4, of list 1: 3 and 1
    rewards = rewards_of([[3.0, 4.0, 1.0], [1.0, 1.0, 1.0]], [[14.0, 11.0, 10.0], [8.0, 12.0, 9.0]])

    scores = decide(rewards, 0.0)[1]

    assert scores.tolist() == [[3.0, 2.0], [-0.5, 1.5]]
    assert choose(rewards, 0.0).tolist() == [0, 1]


def test_pessimism_takes_lambda_times_the_spread_between_members():
    # request 0, gains of list 0: 2 and 6 (mean 4, spread 2), of list 1: 3 and 3 (mean 3, spread 0)
    # request 1, gains of list 0: 0 and 2 (mean 1, spread 1), of list 1: -1 and 1 (mean 0, spread 1)
    rewards = rewards_of([[3.0, 4.0, 1.0], [5.0, 4.0, 5.0]], [[6.0, 3.0, 0.0], [4.0, 3.0, 2.0]])

    assert decide(rewards, 0.25)[1].tolist() == [[3.5, 3.0], [0.75, -0.25]]
    assert choose(rewards, 0.25).tolist() == [0, 0]
    assert decide(rewards, 0.5)[1].tolist() == [[3.0, 3.0], [0.5, -0.5]]
    assert choose(rewards, 0.5).tolist() == [0, 0]  # a tie
    assert choose(rewards, 0.75).tolist() == [1, 0]
    assert choose(rewards, 1.0).tolist() == [1, 2]  # list 0 of request 1 comes to exactly 0


def test_one_member_has_no_spread_to_fear():
    rewards = rewards_of([[1.5, 1.0], [0.5, 1.0]])
    assert decide(rewards, 100.0)[1].tolist() == decide(rewards, 0.0)[1].tolist()
    assert choose(rewards, 100.0).tolist() == [0, 1]


def test_answers_move_with_the_requests_and_come_as_int64():
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(3, 20, 6)).astype(np.float32)
    order = rng.permutation(20)
    got = choose(rewards, 0.4)

    assert got.dtype == np.int64
    assert len(set(got.tolist())) > 1
    assert choose(rewards[:, order], 0.4).tolist() == got[order].tolist()


@pytest.mark.parametrize("pessimism", [0.0, 0.5])
def test_one_request_alone_gets_the_list_that_it_gets_among_others(pessimism):
    rng = np.random.default_rng(1)
    rewards = rng.integers(0, 4, size=(2, 300, 5)).astype(np.float32)  # ties, and no gain at all
    rewards[:, rng.random((300, 5)) < 0.2] = NAN
    among = choose(rewards, pessimism)
    assert set(among.tolist()) == set(range(5))

    alone = [choose(rewards[:, at : at + 1], pessimism).item() for at in range(300)]

    assert alone == among.tolist()


def test_the_input_list_alone_has_no_scores():
    chosen, scores = decide(rewards_of([[7.0], [NAN]], [[3.0], [1.0]]), 0.5)
    assert chosen.tolist() == [0, 0]
    assert scores.shape == (2, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("members", [1, 2, 3, 5, 9])
def test_scores_are_mean_and_deviation_in_float64_to_the_last_bit_alone_and_among(dtype, members):
    rewards = np.random.default_rng(members).uniform(0, 9, (members, 40, 9)).astype(dtype)
    exact = rewards.astype(np.float64)
    gain = exact[..., :-1] - exact[..., -1:]

    for pessimism in (0.0, 0.5):
        scores = decide(rewards, pessimism)[1]
        expected = gain.mean(axis=0) - pessimism * gain.std(axis=0)
        assert scores.dtype == np.float64
        assert scores.tobytes() == expected.tobytes()
        chosen, told = decide(rewards, pessimism)
        assert told.tobytes() == scores.tobytes()
        assert chosen.dtype == np.int64
        assert chosen.tolist() == choose(rewards, pessimism).tolist()
        for at in range(40):
            assert decide(rewards[:, at : at + 1], pessimism)[1].tobytes() == expected[at].tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_chances_over_members_are_their_mean_whatever_part_of_a_run_they_are(dtype):
    chances = np.random.default_rng(3).uniform(size=(4, 3, 5, 6)).astype(dtype)[:, 1]
    assert not chances.flags.c_contiguous

    mean = np.empty(6)
    over_members(chances, 2, mean)

    assert mean.tobytes() == chances[:, 2].astype(np.float64).mean(axis=0).tobytes()


def test_numbers_are_rounded_as_numpy_rounds_them():
    values = np.append(np.random.default_rng(5).uniform(size=500), [0.0, 1.0, 2.5e-6, 3.5e-6, NAN])

    rounded = np.empty(len(values))
    round_off(values, 1e6, rounded)

    assert rounded.tobytes() == values.round(6).tobytes()


def test_lists_are_compared_in_the_slots_that_they_have():
    served, start = np.array([3, 1, 4, 9], np.int32), np.array([3, 5, 2, 0], np.int32)

    assert compare_lists(served, start, np.array([0.5, 0.25, 0.125, 9.0]), 3) == (2.0, 0.875)
    assert compare_lists(served, start, np.array([0.5, 0.25, 0.125, 9.0]), 1) == (0.0, 0.5)
