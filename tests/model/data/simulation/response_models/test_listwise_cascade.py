import itertools
import math

import numpy as np
import pytest

from model.data.simulation.response_models.cascade import CascadeResponse
from model.data.simulation.response_models.listwise import ListwiseResponse
from tests.model.data.simulation.small_world import GENRES, present, random_lists


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    both = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / both if both else 0.0


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_listwise_response_matches_formula(slots: int):
    taste, items = random_lists(7, slots)

    found = ListwiseResponse().click_probabilities(present(taste, items))

    for s, row, p in zip(taste, GENRES.matrix[items], found, strict=True):
        for j in range(slots):
            sat = sum(_cosine(row[i], row[j]) * math.exp(-(j - i - 1) / 3) for i in range(j))
            beside = [s[k] for k in (j - 1, j + 1) if 0 <= k < slots]
            contrast = s[j] - (sum(beside) / len(beside) if beside else s[j])
            expected = _sigmoid(1.1 * s[j] - 1.3 * sat + 0.6 * contrast - 0.9) / (1 + 0.25 * j)
            assert p[j] == pytest.approx(expected, rel=1e-5)


def test_cascade_response_equals_sum_over_outcomes():
    world, (taste, items) = CascadeResponse(), random_lists(5, 4)

    found = world.click_probabilities(present(taste, items))

    for s, row, p in zip(taste, GENRES.matrix[items], found, strict=True):
        likes = [_attraction(world, s, row, j) for j in range(4)]
        assert p == pytest.approx(_by_stories(world, likes), rel=1e-6)


def _attraction(world: CascadeResponse, s: np.ndarray, row: np.ndarray, j: int) -> float:
    own = [g for g in range(3) if row[j, g]]
    sat = sum(math.log(row[:, g].sum()) for g in own) / len(own) if own else 0.0
    contrast = s[j] - s.mean()
    logit = world.taste_weight * s[j] + world.contrast_weight * contrast
    return _sigmoid(logit - world.saturation_weight * sat - world.offset)


def _by_stories(world: CascadeResponse, likes: list[float]) -> list[float]:
    """Enumerate every (clicks, slot after which the user left) and add up its probability."""
    out = [0.0] * len(likes)
    for read in range(1, len(likes) + 1):
        for clicks in itertools.product((0, 1), repeat=read):
            chance = 1.0
            for j, click in enumerate(clicks):
                chance *= likes[j] if click else 1 - likes[j]
                leave = world.leave_after_click if click else world.boredom
                if j < read - 1:
                    chance *= 1 - leave
                elif read < len(likes):
                    chance *= leave
            for j, click in enumerate(clicks):
                out[j] += chance * click
    return out


def test_cascade_response_certain_leave_gives_one_click():
    taste, items = random_lists(500, 4)
    world = CascadeResponse(leave_after_click=1.0)

    clicks = world.sample_clicks(present(taste, items), np.random.default_rng(2))

    assert clicks.sum(axis=1).max() == 1
    assert clicks.sum() > 100


@pytest.mark.parametrize("response", [ListwiseResponse(), CascadeResponse()])
def test_response_of_reversed_list_changes_value(response: ListwiseResponse | CascadeResponse):
    taste, items = random_lists(1, 4)
    there = response.click_probabilities(present(taste, items)).sum()
    back = response.click_probabilities(present(taste[:, ::-1], items[:, ::-1])).sum()

    assert abs(there - back) > 0.01
