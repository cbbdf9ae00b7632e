import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score, roc_auc_score

from model.metrics import (
    bootstrap_interval,
    ece,
    ece_by_chance,
    gauc,
    hit_threshold,
    log_loss,
    ndcg,
    rank_in_space,
    value_ratio,
)


def test_gauc_is_the_auc_of_each_list_weighted_by_its_length():
    rng = np.random.default_rng(0)
    p = rng.random((5, 6)).round(1)
    label = (rng.random((5, 6)) < 0.5).astype(float)
    valid = np.arange(6) < np.array([[6], [4], [3], [6], [5]])
    label[3] = 1.0  # a list without a negative tells nothing
    each, weight = [], []
    for row in range(5):
        own = valid[row]
        if 0 < label[row, own].sum() < own.sum():
            each.append(roc_auc_score(label[row, own], p[row, own]))
            weight.append(own.sum())

    assert gauc(p, label, valid) == pytest.approx(np.average(each, weights=weight))
    assert len(each) < 5


def test_ndcg_agrees_with_an_independent_library():
    rng = np.random.default_rng(1)
    score, label = rng.random((20, 8)), rng.integers(0, 2, (20, 8)).astype(float)
    label[0] = 0.0
    valid = np.ones((20, 8), dtype=bool)

    got = ndcg(score, label, valid, 5)

    assert np.isnan(got[0])
    for row in range(1, 20):
        if label[row].any():
            assert got[row] == pytest.approx(ndcg_score(label[[row]], score[[row]], k=5))


def test_invalid_places_do_not_count_in_ndcg():
    score = np.array([[0.9, 0.5, 0.1], [0.1, 0.2, 0.9]])
    label = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    valid = np.array([[False, True, True], [True, True, False]])

    assert ndcg(score, label, valid, 2).tolist() == pytest.approx([1 / math.log2(3)] * 2)


def test_log_loss_by_hand():
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.5)) / 3
    assert log_loss(np.array([0.9, 0.2, 0.5]), np.array([1, 0, 1])) == pytest.approx(expected)


def test_ece_is_the_gap_between_promise_and_truth_by_bin():
    p = np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9])
    label = np.array([1, 0, 0, 0, 1, 0])
    # bin of .1: promised .4 clicks, 1 came; bin of .9: promised 1.8, 1 came
    assert ece(p, label) == pytest.approx((abs(0.4 - 1) + abs(1.8 - 1)) / 6)


def test_perfect_predictions_show_no_more_ece_than_chance():
    rng = np.random.default_rng(2)
    p = rng.random(4000)
    honest, chance = ece(p, rng.random(4000) < p), ece_by_chance(p, rng)
    biased = ece(p, rng.random(4000) < p * 0.8)

    assert honest < 2 * chance
    assert biased > 4 * chance


def test_ties_count_as_the_worse_rank():
    space = np.array([[3.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    assert rank_in_space(space, np.array([3.0, 3.0])).tolist() == [2, 2]


def test_hits_are_among_the_best_ceil_of_the_share():
    assert hit_threshold(120, 0.01) == 2  # ceil(1.2)
    assert hit_threshold(11_880, 0.10) == 1188  # exactly, in spite of binary fractions


def test_the_value_ratio_is_a_ratio_of_sums():
    own, given, best = np.array([2.0, 1.0]), np.array([1.0, 1.0]), np.array([3.0, 1.0])
    assert value_ratio(own, given, best) == pytest.approx(1 / 2)
    assert math.isnan(value_ratio(given, given, given))


def test_the_bootstrap_resamples_whole_users():
    values = np.repeat(np.array([0.0, 1.0]), 500)  # two users, all their rows alike
    users = np.repeat(np.array(["a", "b"]), 500)
    rng = np.random.default_rng(3)

    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), users, rng, draws=400)

    assert (low, high) == (0.0, 1.0)  # two users say next to nothing, however many rows they have
