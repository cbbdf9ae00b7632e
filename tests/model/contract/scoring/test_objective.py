"""What a list is worth and which one is served; every number here is worked out by hand."""

import math

import numpy as np
import pytest

from model.contract.kernels.list_scoring import count_changes_and_clicks, ensemble_mean, round_to
from model.contract.scoring.objective import (
    RewardWeights,
    compute_rewards,
    select_lists,
    select_with_scores,
)

NAN = float("nan")


def reward_array(*members):
    """Members x requests x lists -> (E, B, L)."""
    return np.array(members, dtype=np.float32)


def test_compute_rewards_sums_valid_slots_only():
    p_click = np.array([[[[0.5, 0.2, NAN]], [[0.1, 0.4, 1.0]]]])  # (E=1, B=2, L=1, M=3)
    p_conversion = np.array([[[[0.1, 0.5, 0.9]], [[1.0, 0.25, 0.0]]]])
    values = np.array([[[10.0, 2.0, 5.0]], [[1.0, 3.0, 7.0]]])
    valid = np.array([[True, True, False], [True, True, True]])
    weights = RewardWeights(click=2.0, conversion=3.0, value=0.5)

    got = compute_rewards(p_click, p_conversion, values, valid, weights)

    expected = [
        0.5 * (2 + 0.1 * (3 + 0.5 * 10)) + 0.2 * (2 + 0.5 * (3 + 0.5 * 2)),
        0.1 * (2 + 1.0 * (3 + 0.5 * 1)) + 0.4 * (2 + 0.25 * (3 + 0.5 * 3)) + 1.0 * 2,
    ]
    assert got.shape == (1, 2, 1)
    assert got[0, :, 0].tolist() == pytest.approx(expected)


def test_compute_rewards_discount_one_equals_dcg():
    p_click = np.array([[[[0.5, 0.2, 0.1], [0.1, 0.2, 0.5]]]])

    plain = compute_rewards(p_click, None, None, None, RewardWeights())
    dcg = compute_rewards(p_click, None, None, None, RewardWeights(discount=1.0))
    steep = compute_rewards(p_click, None, None, None, RewardWeights(discount=2.0))

    second, third = 1 / math.log2(3), 1 / math.log2(4)
    assert plain[0, 0].tolist() == pytest.approx([0.8, 0.8])
    expected = [0.5 + 0.2 * second + 0.1 * third, 0.1 + 0.2 * second + 0.5 * third]
    assert dcg[0, 0].tolist() == pytest.approx(expected, rel=1e-6)
    steeper = [0.5 + 0.2 * second**2 + 0.1 * third**2, 0.1 + 0.2 * second**2 + 0.5 * third**2]
    assert steep[0, 0].tolist() == pytest.approx(steeper, rel=1e-6)


def test_compute_rewards_without_mask_counts_every_slot():
    p_click = np.random.default_rng(1).uniform(size=(2, 3, 4, 5)).astype(np.float32)
    every = np.ones((3, 5), dtype=bool)
    masked = compute_rewards(
        p_click, p_click, None, every, RewardWeights(click=0.7, conversion=0.3)
    )
    plain = compute_rewards(p_click, p_click, None, None, RewardWeights(click=0.7, conversion=0.3))
    assert plain.dtype == masked.dtype
    assert plain.tobytes() == masked.tobytes()


def test_compute_rewards_without_conversions_or_values_keeps_clicks():
    p_click = np.array([[[[0.5, 0.25]], [[0.25, 0.0]]]])
    p_conversion = np.full_like(p_click, 0.5)
    valid = np.ones((2, 2), dtype=bool)
    weights = RewardWeights(click=1.0, conversion=4.0, value=100.0)

    assert compute_rewards(p_click, None, None, valid, weights)[0, :, 0].tolist() == [0.75, 0.25]
    # each slot is worth 1 + .5 * 4
    assert compute_rewards(p_click, p_conversion, None, valid, weights)[0, :, 0].tolist() == [
        2.25,
        0.75,
    ]


def test_compute_rewards_nan_value_counts_as_zero():
    p_click = np.array([[[[0.5, 0.5]], [[0.5, 0.5]]]])
    p_conversion = np.ones_like(p_click)
    values = np.array([[[NAN, 3.0]], [[1.0, NAN]]])
    got = compute_rewards(
        p_click, p_conversion, values, np.ones((2, 2), dtype=bool), RewardWeights(value=1.0)
    )

    assert got[0, :, 0].tolist() == [1 + 0.5 * 3, 1 + 0.5 * 1]


def test_select_lists_tie_selects_lower_index():
    rewards = reward_array([[1.0, 3.0, 2.0, 0.5], [4.0, 2.0, 4.0, 1.0], [0.0, 2.0, 9.0, 8.5]])
    assert select_lists(rewards, 0.0).tolist() == [1, 0, 2]


def test_select_lists_without_positive_gain_selects_input():
    rewards = reward_array([[1.0, 2.0, 2.0], [1.0, 0.5, 2.0], [1.0, 2.5, 2.0]])
    assert select_lists(rewards, 0.0).tolist() == [2, 2, 1]


def test_select_lists_nan_reward_is_never_selected():
    rewards = reward_array(
        [[NAN, 3.0, 1.0], [NAN, 0.5, 1.0], [NAN, NAN, 1.0], [5.0, 6.0, NAN], [3.0, NAN, 1.0]]
    )
    assert select_lists(rewards, 0.0).tolist() == [1, 2, 2, 2, 0]
    assert select_lists(rewards, 1.0).tolist() == [1, 2, 2, 2, 0]


def test_select_lists_input_list_alone_is_selected():
    assert select_lists(reward_array([[7.0], [NAN]]), 0.5).tolist() == [0, 0]


def test_select_lists_gain_is_per_ensemble_member():
    # one member lives on a ten times higher level; gains of list 0: 2 and 4, of list 1: 3 and 1
    rewards = reward_array(
        [[3.0, 4.0, 1.0], [1.0, 1.0, 1.0]], [[14.0, 11.0, 10.0], [8.0, 12.0, 9.0]]
    )

    scores = select_with_scores(rewards, 0.0)[1]

    assert scores.tolist() == [[3.0, 2.0], [-0.5, 1.5]]
    assert select_lists(rewards, 0.0).tolist() == [0, 1]


def test_select_lists_risk_aversion_subtracts_member_deviation():
    # request 0, gains of list 0: 2 and 6 (mean 4, spread 2), of list 1: 3 and 3 (mean 3, spread 0)
    # request 1, gains of list 0: 0 and 2 (mean 1, spread 1), of list 1: -1 and 1 (mean 0, spread 1)
    rewards = reward_array([[3.0, 4.0, 1.0], [5.0, 4.0, 5.0]], [[6.0, 3.0, 0.0], [4.0, 3.0, 2.0]])

    assert select_with_scores(rewards, 0.25)[1].tolist() == [[3.5, 3.0], [0.75, -0.25]]
    assert select_lists(rewards, 0.25).tolist() == [0, 0]
    assert select_with_scores(rewards, 0.5)[1].tolist() == [[3.0, 3.0], [0.5, -0.5]]
    assert select_lists(rewards, 0.5).tolist() == [0, 0]  # a tie
    assert select_lists(rewards, 0.75).tolist() == [1, 0]
    assert select_lists(rewards, 1.0).tolist() == [1, 2]  # list 0 of request 1 comes to exactly 0


def test_select_lists_single_member_has_no_deviation():
    rewards = reward_array([[1.5, 1.0], [0.5, 1.0]])
    assert (
        select_with_scores(rewards, 100.0)[1].tolist()
        == select_with_scores(rewards, 0.0)[1].tolist()
    )
    assert select_lists(rewards, 100.0).tolist() == [0, 1]


def test_select_lists_permuted_requests_permute_int64_indices():
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(3, 20, 6)).astype(np.float32)
    order = rng.permutation(20)
    got = select_lists(rewards, 0.4)

    assert got.dtype == np.int64
    assert len(set(got.tolist())) > 1
    assert select_lists(rewards[:, order], 0.4).tolist() == got[order].tolist()


@pytest.mark.parametrize("risk_aversion", [0.0, 0.5])
def test_select_lists_is_independent_of_batch(risk_aversion):
    rng = np.random.default_rng(1)
    rewards = rng.integers(0, 4, size=(2, 300, 5)).astype(np.float32)  # ties, and no gain at all
    rewards[:, rng.random((300, 5)) < 0.2] = NAN
    among = select_lists(rewards, risk_aversion)
    assert set(among.tolist()) == set(range(5))

    alone = [select_lists(rewards[:, at : at + 1], risk_aversion).item() for at in range(300)]

    assert alone == among.tolist()


def test_select_with_scores_input_list_alone_has_none():
    chosen, scores = select_with_scores(reward_array([[7.0], [NAN]], [[3.0], [1.0]]), 0.5)
    assert chosen.tolist() == [0, 0]
    assert scores.shape == (2, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("members", [1, 2, 3, 5, 9])
def test_select_with_scores_equals_numpy_bit_for_bit(dtype, members):
    rewards = np.random.default_rng(members).uniform(0, 9, (members, 40, 9)).astype(dtype)
    exact = rewards.astype(np.float64)
    gain = exact[..., :-1] - exact[..., -1:]

    for risk_aversion in (0.0, 0.5):
        scores = select_with_scores(rewards, risk_aversion)[1]
        expected = gain.mean(axis=0) - risk_aversion * gain.std(axis=0)
        assert scores.dtype == np.float64
        assert scores.tobytes() == expected.tobytes()
        chosen, told = select_with_scores(rewards, risk_aversion)
        assert told.tobytes() == scores.tobytes()
        assert chosen.dtype == np.int64
        assert chosen.tolist() == select_lists(rewards, risk_aversion).tolist()
        for at in range(40):
            assert (
                select_with_scores(rewards[:, at : at + 1], risk_aversion)[1].tobytes()
                == expected[at].tobytes()
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ensemble_mean_of_any_layout_equals_numpy(dtype):
    chances = np.random.default_rng(3).uniform(size=(4, 3, 5, 6)).astype(dtype)[:, 1]
    assert not chances.flags.c_contiguous

    mean = np.empty(6)
    ensemble_mean(chances, 2, mean)

    assert mean.tobytes() == chances[:, 2].astype(np.float64).mean(axis=0).tobytes()


def test_round_to_equals_numpy_round():
    values = np.append(np.random.default_rng(5).uniform(size=500), [0.0, 1.0, 2.5e-6, 3.5e-6, NAN])

    rounded = np.empty(len(values))
    round_to(values, 1e6, rounded)

    assert rounded.tobytes() == values.round(6).tobytes()


def test_count_changes_and_clicks_ignores_padded_slots():
    served, start = np.array([3, 1, 4, 9], np.int32), np.array([3, 5, 2, 0], np.int32)

    assert count_changes_and_clicks(served, start, np.array([0.5, 0.25, 0.125, 9.0]), 3) == (
        2.0,
        0.875,
    )
    assert count_changes_and_clicks(served, start, np.array([0.5, 0.25, 0.125, 9.0]), 1) == (
        0.0,
        0.5,
    )


def test_select_lists_below_least_gain_selects_input():
    # gains .4, .6 and 0 over an input list of reward 2
    rewards = reward_array([[2.4, 1.0, 2.0], [2.6, 2.5, 2.0], [2.0, 1.0, 2.0]])

    assert select_lists(rewards, 0.0, 0.0).tolist() == [0, 0, 2]
    assert select_lists(rewards, 0.0, 0.25).tolist() == [2, 0, 2]
    assert select_with_scores(rewards, 0.0, 0.25)[1].tolist() == (
        select_with_scores(rewards, 0.0)[1].tolist()
    )


def test_select_lists_least_gain_applies_after_risk_aversion():
    # gains 1 and 3 of two members: mean 2, standard deviation 1, over a mean input reward of 4
    rewards = reward_array([[5.0, 4.0]], [[7.0, 4.0]])

    assert select_lists(rewards, 0.0, 0.4).tolist() == [0]
    assert select_lists(rewards, 1.0, 0.4).tolist() == [1]
