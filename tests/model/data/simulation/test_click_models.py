import itertools
import math

import numpy as np
import pytest

from model.data.simulation.click_models import CascadeClickModel, ItemGenres, ListwiseClickModel

GENRES = ItemGenres(
    np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 1]], dtype=np.float32)
)


def _lists(count: int, slots: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    items = np.stack([rng.permutation(6)[:slots] for _ in range(count)])
    return rng.normal(size=items.shape), items


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    both = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / both if both else 0.0


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_listwise_click_model_matches_formula(slots: int):
    taste, items = _lists(7, slots)

    found = ListwiseClickModel().click_probabilities(taste, items, GENRES)

    for s, row, p in zip(taste, GENRES.matrix[items], found, strict=True):
        for j in range(slots):
            sat = sum(_cosine(row[i], row[j]) * math.exp(-(j - i - 1) / 3) for i in range(j))
            beside = [s[k] for k in (j - 1, j + 1) if 0 <= k < slots]
            contrast = s[j] - (sum(beside) / len(beside) if beside else s[j])
            expected = _sigmoid(1.1 * s[j] - 1.3 * sat + 0.6 * contrast - 0.9) / (1 + 0.25 * j)
            assert p[j] == pytest.approx(expected, rel=1e-5)


def test_cascade_click_model_equals_sum_over_outcomes():
    world, (taste, items) = CascadeClickModel(), _lists(5, 4)

    found = world.click_probabilities(taste, items, GENRES)

    for s, row, p in zip(taste, GENRES.matrix[items], found, strict=True):
        likes = [_attraction(world, s, row, j) for j in range(4)]
        assert p == pytest.approx(_by_stories(world, likes), rel=1e-6)


def _attraction(world: CascadeClickModel, s: np.ndarray, row: np.ndarray, j: int) -> float:
    own = [g for g in range(3) if row[j, g]]
    sat = sum(math.log(row[:, g].sum()) for g in own) / len(own) if own else 0.0
    contrast = s[j] - s.mean()
    logit = world.taste_weight * s[j] + world.contrast_weight * contrast
    return _sigmoid(logit - world.saturation_weight * sat - world.offset)


def _by_stories(world: CascadeClickModel, likes: list[float]) -> list[float]:
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


@pytest.mark.parametrize("response", [ListwiseClickModel(), CascadeClickModel()])
def test_sample_clicks_frequency_matches_probabilities(
    response: ListwiseClickModel | CascadeClickModel,
):
    taste, items = _lists(2, 4)
    many = 40_000
    rng = np.random.default_rng(1)

    clicks = response.sample_clicks(
        np.repeat(taste, many, 0), np.repeat(items, many, 0), GENRES, rng
    )

    rates = clicks.reshape(2, many, 4).mean(axis=1)
    # four standard errors of a rate of one half over 40,000 draws: .01
    assert rates == pytest.approx(response.click_probabilities(taste, items, GENRES), abs=0.01)


def test_cascade_click_model_certain_leave_gives_one_click():
    taste, items = _lists(500, 4)
    world = CascadeClickModel(leave_after_click=1.0)

    clicks = world.sample_clicks(taste, items, GENRES, np.random.default_rng(2))

    assert clicks.sum(axis=1).max() == 1
    assert clicks.sum() > 100


@pytest.mark.parametrize("response", [ListwiseClickModel(), CascadeClickModel()])
def test_click_model_list_order_changes_value(response: ListwiseClickModel | CascadeClickModel):
    taste, items = _lists(1, 4)
    there = response.click_probabilities(taste, items, GENRES).sum()
    back = response.click_probabilities(taste[:, ::-1], items[:, ::-1], GENRES).sum()

    assert abs(there - back) > 0.01
