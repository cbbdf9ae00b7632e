import math

import numpy as np
import pytest

from model.evaluation.worlds.in_list_trees import in_list_context
from model.evaluation.worlds.world_rows import (
    TrueValues,
    decile_range,
    list_measures,
    logged_ndcg,
    promise_measures,
)

TRUTH = TrueValues(
    input=np.array([1.0, 2.0, 1.0, 2.0]),
    best=np.array([2.0, 4.0, np.nan, np.nan]),
    user=np.array([0, 0, 1, 2], dtype=np.int32),
)


def test_list_measures_use_known_best_lists_only():
    value = np.array([1.5, 1.5, 1.0, 4.0])

    found = list_measures(value, TRUTH)

    # gains .5, -.5, 0, 2; the room of the two known requests is 1 + 2
    assert found["true_share"][0] == pytest.approx(0.0)
    assert found["truly_worse"][0] == pytest.approx(1 / 4)
    assert found["relative_gain"][0] == pytest.approx(2.0 / 6.0)
    for _, low, high in found.values():
        assert low <= high


def test_list_measures_without_best_lists_have_no_share():
    truth = TrueValues(input=TRUTH.input, best=np.full(4, np.nan), user=TRUTH.user)

    assert set(list_measures(TRUTH.input, truth)) == {"truly_worse", "relative_gain"}


def test_promise_measures_compare_hoped_and_true_gain():
    hoped, got = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.1, -0.1, 0.3])

    found = promise_measures(hoped, got, TRUTH)

    assert found["promise_ratio"][0] == pytest.approx(1.0 / 0.5)
    assert (found["promised_gain"], found["true_gain"]) == pytest.approx((0.25, 0.125))
    assert np.array(found["promise_deciles"]) == pytest.approx(np.stack([hoped, got], axis=1))
    assert decile_range(found)[0] == pytest.approx(0.5)
    assert decile_range(found)[1] == math.inf


def test_logged_ndcg_ranks_shown_items_by_order():
    # candidates 2, 0, 1 were shown; the click was on candidate 0, then on candidate 1
    lists = np.array([[0, 1, 2], [0, 1, 2], [2, 1, 0], [0, 1, 2]])
    shown = np.array([[2, 0, 1]] * 4)
    clicks = np.array([[0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]])

    found = logged_ndcg(lists, shown, clicks, TRUTH)

    expected = [1.0, 1 / math.log2(3), 1 / math.log2(4)]  # the request without a click is left out
    assert found[0] == pytest.approx(sum(expected) / 3)


def test_in_list_context_relates_to_other_candidates():
    values = np.array([[3.0, 1.0, 2.0], [5.0, 5.0, np.nan]])

    found = in_list_context(values)

    assert found[0, :, 1].tolist() == [0, 2, 1]
    assert found[0, :, 2] == pytest.approx(np.array([1.0, -1.0, 0.0]) * math.sqrt(1.5))
    assert found[0, :, 3].tolist() == [0.0, 2.0, 1.0]
    assert found[1, :2, 2].tolist() == [0.0, 0.0]
    assert np.isnan(found[1, 2, [0, 2, 3]]).all()
