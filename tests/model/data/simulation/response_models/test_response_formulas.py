"""Values of single response models, derived by hand or from a simpler model."""

import math

import numpy as np
import pytest

from model.data.simulation.response_models.cascade import CascadeResponse
from model.data.simulation.response_models.choice import ChoiceResponse
from model.data.simulation.response_models.coverage import CoverageResponse
from model.data.simulation.response_models.decoy import DecoyResponse
from model.data.simulation.response_models.grid import GridResponse
from model.data.simulation.response_models.mixture import MixtureResponse
from model.data.simulation.response_models.nested_choice import NestedChoiceResponse
from model.data.simulation.response_models.repetition import RepetitionResponse
from model.data.simulation.response_models.saturation import SaturationResponse
from model.data.simulation.response_models.survival import SurvivalResponse
from model.data.simulation.response_models.teacher import TeacherResponse
from tests.model.data.simulation.small_world import present, random_lists, small_attributes


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_choice_divides_weight_by_outside_and_list():
    taste = np.array([[0.5, -1.0], [1.5, 2.0]])

    p = ChoiceResponse(taste_weight=2.0, outside=1.0, decay=1.0).click_probabilities(
        present(taste, np.array([[0, 1], [2, 3]]))
    )

    for (first, second), found in zip(taste, p, strict=True):
        weights = np.array([math.exp(2 * first), math.exp(2 * second) / 2])
        assert found == pytest.approx(weights / (math.e + weights.sum()))


def test_nested_choice_without_nesting_is_choice():
    taste, items = random_lists(5, 4)

    nested = NestedChoiceResponse(dissimilarity=1.0, outside=1.0)

    plain = ChoiceResponse(outside=1.0)
    lists = present(taste, items)
    assert nested.click_probabilities(lists) == pytest.approx(plain.click_probabilities(lists))


def test_nested_choice_same_genre_items_compete_more():
    # items 0 and 5 have one genre each, 3 has none; 0 twice are perfect substitutes but for taste
    taste = np.zeros((2, 2))
    same, other = NestedChoiceResponse(outside=0.0, decay=0.0).click_probabilities(
        present(taste, np.array([[0, 0], [0, 5]]))
    )

    nest = 2**0.25  # two equal items in one nest
    assert same == pytest.approx(np.full(2, nest / (1 + nest) / 2))
    assert other == pytest.approx(np.full(2, 1 / 3))


def test_survival_of_similar_items_ends_exposure():
    taste, items = np.array([[1.0, 0.0, 2.0]]), np.array([[0, 1, 5]])
    model = SurvivalResponse(taste_weight=1.0, offset=1.0, hazard=0.0, fatigue=2.0, relief=0.5)

    p = model.click_probabilities(present(taste, items))[0]

    # cosine of item 1 (two genres) to item 0 (one of them) is 1 / sqrt(2)
    after_first = 1 - _sigmoid(-0.5)
    after_second = after_first * (1 - _sigmoid(2.0 / math.sqrt(2)))
    expected = [_sigmoid(0.0), after_first * _sigmoid(-1.0), after_second * _sigmoid(1.0)]
    assert p == pytest.approx(expected, rel=1e-6)


def test_decoy_price_above_anchor_costs_clicks():
    taste, items = np.zeros((1, 3)), np.array([[0, 1, 2]])
    model = DecoyResponse(first_share=0.25, patience=0.5)

    p = model.click_probabilities(present(taste, items))[0]

    price = small_attributes().log_price[:3].astype(np.float64)
    anchors = [0.0, price[0], 0.25 * price[0] + 0.75 * (price[0] + price[1]) / 2]
    for j, (own, anchor) in enumerate(zip(price, anchors, strict=True)):
        gap = own - anchor
        reference = -0.6 * max(gap, 0) + 0.4 * max(-gap, 0)
        middle = math.exp(-((own - np.median(price)) ** 2))
        assert p[j] == pytest.approx(0.5**j * _sigmoid(reference + middle - 4.6))


def test_saturation_of_one_genre_meets_its_demand():
    # item 0 twice: one genre, whose demand bounds the clicks of the whole page
    model = SaturationResponse(demand=0.2, offset=0.0, decay=0.0)

    p = model.click_probabilities(present(np.zeros((1, 2)), np.array([[0, 0]])))

    assert p.sum() == pytest.approx(0.2 * (1 - math.exp(-1.0 / 0.2)))


def test_repetition_counts_history_and_list():
    lists = present(np.zeros((2, 2)), np.array([[0, 0], [0, 0]]), np.array([0, 2]))
    model = RepetitionResponse(decay=0.0, offset=0.0)

    p = model.click_probabilities(lists)

    for user, found in zip((0, 2), p, strict=True):
        history = 8.0 * float(lists.attributes.recent_genres[user, 0])
        expected = [_sigmoid(-2 * math.log(1 + history)), _sigmoid(-2 * math.log(4 + history))]
        assert found == pytest.approx(expected, rel=1e-5)
    assert lists.attributes.recent_genres[0].sum() == 0


def test_coverage_second_item_serves_only_needs_left():
    lists = present(np.zeros((1, 2)), np.array([[0, 1]]))  # genre 0, then genres 0 and 1
    model = CoverageResponse(offset=0.0, patience=0.8)

    p = model.click_probabilities(lists)[0]

    weight = np.exp(lists.attributes.genre_affinity[1].astype(np.float64))
    need = weight / weight.sum()
    assert p[0] == pytest.approx(need[0] / 2)
    assert p[1] == pytest.approx(0.8 * (need[0] / 4 + need[1] / 2))


def test_grid_right_column_is_seen_with_its_row():
    lists = present(np.zeros((1, 3)), np.array([[3, 3, 3]]))  # item 3 has no genre
    model = GridResponse(offset=0.0, side=0.6, scroll=0.5)

    p = model.click_probabilities(lists)[0]

    assert p == pytest.approx([0.5, 0.6 * 0.5, (0.5 + 0.5 * 0.5) * 0.5])


def test_mixture_of_one_kind_is_that_model():
    taste, items = random_lists(6, 4)
    lists = present(taste, items, np.arange(6) % 3)

    for share, model in (
        (1.0, NestedChoiceResponse(outside=1.0)),
        (0.0, CascadeResponse(offset=1.0)),
    ):
        mixed = MixtureResponse(choice_share=share, outside=1.0, cascade_offset=1.0, boredom=0.2)
        assert mixed.click_probabilities(lists) == pytest.approx(model.click_probabilities(lists))


def test_teacher_seed_and_size_change_list_effects():
    taste, items = random_lists(20, 4)
    lists = present(taste, items)

    variants = [TeacherResponse(), TeacherResponse(seed=1), TeacherResponse(width=32)]
    effects = [model.click_probabilities(lists) for model in variants]

    assert np.abs(effects[0] - effects[1]).max() > 0.005
    assert np.abs(effects[0] - effects[2]).max() > 0.005
    without = TeacherResponse(effect_weight=0.0, decay=0.0).click_probabilities(lists)
    assert without == pytest.approx(1 / (1 + np.exp(4.0 - taste)))
