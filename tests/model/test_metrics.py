import math

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score, roc_auc_score
from torchmetrics.functional.retrieval import (
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
)

from model.metrics import (
    bootstrap_interval,
    ece,
    ece_under_perfect_calibration,
    gauc,
    hit_threshold,
    label_metrics_at_k,
    log_loss,
    mean_ratio_interval,
    ndcg,
    rank_in_space,
    value_ratio,
)


def test_gauc_weighs_list_auc_by_length():
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


def test_ndcg_matches_reference_library():
    rng = np.random.default_rng(1)
    score, label = rng.random((20, 8)), rng.integers(0, 2, (20, 8)).astype(float)
    label[0] = 0.0
    valid = np.ones((20, 8), dtype=bool)

    got = ndcg(score, label, valid, 5)

    assert np.isnan(got[0])
    for row in range(1, 20):
        if label[row].any():
            assert got[row] == pytest.approx(ndcg_score(label[[row]], score[[row]], k=5))


def test_ndcg_ignores_padding():
    score = np.array([[0.9, 0.5, 0.1], [0.1, 0.2, 0.9]])
    label = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0]])
    valid = np.array([[False, True, True], [True, True, False]])

    assert ndcg(score, label, valid, 2).tolist() == pytest.approx([1 / math.log2(3)] * 2)


def test_log_loss_matches_manual_value():
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.5)) / 3
    assert log_loss(np.array([0.9, 0.2, 0.5]), np.array([1, 0, 1])) == pytest.approx(expected)


def test_ece_is_mean_gap_per_bin():
    p = np.array([0.1, 0.1, 0.1, 0.1, 0.9, 0.9])
    label = np.array([1, 0, 0, 0, 1, 0])
    # bin of .1: promised .4 clicks, 1 came; bin of .9: promised 1.8, 1 came
    assert ece(p, label) == pytest.approx((abs(0.4 - 1) + abs(1.8 - 1)) / 6)


def test_ece_under_perfect_calibration_matches_chance():
    rng = np.random.default_rng(2)
    p = rng.random(4000)
    honest, chance = ece(p, rng.random(4000) < p), ece_under_perfect_calibration(p, rng)
    biased = ece(p, rng.random(4000) < p * 0.8)

    assert honest < 2 * chance
    assert biased > 4 * chance


def test_rank_in_space_counts_ties_as_worse():
    space = np.array([[3.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    assert rank_in_space(space, np.array([3.0, 3.0])).tolist() == [2, 2]


def test_hit_threshold_rounds_share_up():
    assert hit_threshold(120, 0.01) == 2  # ceil(1.2)
    assert hit_threshold(11_880, 0.10) == 1188  # exactly, in spite of binary fractions


def test_value_ratio_is_ratio_of_sums():
    own, given, best = np.array([2.0, 1.0]), np.array([1.0, 1.0]), np.array([3.0, 1.0])
    assert value_ratio(own, given, best) == pytest.approx(1 / 2)
    assert math.isnan(value_ratio(given, given, given))


def test_bootstrap_interval_resamples_whole_groups():
    values = np.repeat(np.array([0.0, 1.0]), 500)  # two users, all their rows alike
    users = np.repeat(np.array(["a", "b"]), 500)
    rng = np.random.default_rng(3)

    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), users, rng, draws=400)

    assert (low, high) == (0.0, 1.0)  # two users say next to nothing, however many rows they have


def test_label_metrics_at_k_match_torchmetrics():
    rng = np.random.default_rng(1)
    label = (rng.random((20, 12)) < 0.3).astype(float)
    label[:, 0] = 1.0  # every request has something to find
    order = np.argsort(rng.random(label.shape), axis=1)
    shown = np.take_along_axis(label, order, axis=1)[:, :10]
    score = np.empty_like(label)
    np.put_along_axis(score, order, np.arange(12, 0, -1.0)[None].repeat(20, 0), axis=1)

    for cut in (6, 10):
        made = label_metrics_at_k(shown, label, np.ones_like(label, dtype=bool), cut)
        for row in range(len(label)):
            p, t = torch.from_numpy(score[row]), torch.from_numpy(label[row]).bool()
            precision = float(retrieval_precision(p, t, top_k=cut))
            recall = float(retrieval_recall(p, t, top_k=cut))
            assert made[f"precision@{cut}"][row] == pytest.approx(precision)
            f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
            assert made[f"f1@{cut}"][row] == pytest.approx(f1)
            assert made[f"ndcg@{cut}"][row] == pytest.approx(
                float(retrieval_normalized_dcg(p, t, top_k=cut)), abs=1e-6
            )


def test_average_precision_at_k_is_normalized():
    shown = np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    label = np.array([[1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]])

    made = label_metrics_at_k(shown, label, np.ones_like(label, dtype=bool), 3)

    assert made["map@3"].tolist() == pytest.approx([(1 / 2 + 2 / 3) / 3, 1.0])


def test_label_metrics_without_relevant_items_are_nan():
    shown, label = np.zeros((1, 4)), np.array([[0.0, 0.0, 0.0, 0.0, 1.0]])
    valid = np.array([[True, True, True, True, False]])  # the one click is padding

    made = label_metrics_at_k(shown, label, valid, 3)

    assert made["precision@3"].tolist() == [0.0]
    assert all(np.isnan(made[name][0]) for name in ("f1@3", "map@3", "ndcg@3"))


def test_mean_ratio_interval_matches_explicit_resampling():
    rng = np.random.default_rng(2)
    users = rng.integers(0, 40, 300)
    top, bottom = rng.normal(0.2, 1.0, 300), rng.random(300) + 0.5

    each, low, high = mean_ratio_interval([(top, bottom), (2 * top, bottom)], users)
    slow = bootstrap_interval(
        lambda rows: float(1.5 * top[rows].sum() / bottom[rows].sum()), users, rng
    )

    assert each == pytest.approx([top.sum() / bottom.sum(), 2 * top.sum() / bottom.sum()])
    assert (low, high) == pytest.approx(slow, abs=0.03)  # of 1,000 draws each
