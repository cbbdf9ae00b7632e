"""Rules that every response model of the registry keeps."""

from pathlib import Path

import numpy as np
import pytest

from model.config.toml_reader import ConfigError
from model.data.simulation import response_models
from model.data.simulation.response_models.response_registry import (
    RESPONSE_MODELS,
    build_response_model,
    response_form,
    response_parameters,
)
from tests.model.data.simulation.small_world import present, random_lists

AT_MOST_ONE_CLICK = ("choice", "nested_choice", "coverage", "aspiration")
DRAWS = 40_000
# four standard errors of a rate of one half over 40,000 draws
FREQUENCY_TOLERANCE = 0.01
# lowers what each model subtracts, so that rates are far from 0 in the small world
FREQUENT = {
    "choice": {"outside": 0.5},
    "nested_choice": {"outside": 0.5},
    "decoy": {"offset": 0.5},
    "teacher": {"offset": 0.5},
    "survival": {"offset": 0.5},
    "saturation": {"offset": 0.5, "demand": 0.4},
    "repetition": {"offset": -2.0},
    "grid": {"offset": 0.5},
    "aspiration": {"start": 0.5},
    "mixture": {"outside": 0.5, "cascade_offset": 0.5},
}
OWN_FILES = {
    *("__init__", "probabilities", "random_transformer"),
    *("response_model", "response_registry"),
}


def _frequent(form: str):
    return build_response_model(form, FREQUENT.get(form, {}))


@pytest.mark.parametrize("form", RESPONSE_MODELS)
def test_sampled_frequency_equals_exact_probability(form: str):
    model, (taste, items) = _frequent(form), random_lists(3, 4)
    users = np.arange(3)

    clicks = model.sample_clicks(
        present(np.repeat(taste, DRAWS, 0), np.repeat(items, DRAWS, 0), np.repeat(users, DRAWS)),
        np.random.default_rng(1),
    )

    rates = clicks.reshape(3, DRAWS, 4).mean(axis=1)
    exact = model.click_probabilities(present(taste, items, users))
    assert rates == pytest.approx(exact, abs=FREQUENCY_TOLERANCE)
    assert exact.max() > 10 * FREQUENCY_TOLERANCE, "too rare to tell from 0"


@pytest.mark.parametrize("form", RESPONSE_MODELS)
@pytest.mark.parametrize("slots", [1, 2, 6])
def test_probability_of_any_list_is_proper(form: str, slots: int):
    taste, items = random_lists(50, slots)
    users = np.arange(50) % 3

    p = build_response_model(form, {}).click_probabilities(present(3 * taste, items, users))

    assert p.shape == (50, slots)
    assert np.isfinite(p).all()
    assert (p >= 0).all()
    assert (p <= 1).all()
    assert p.std() > 0


@pytest.mark.parametrize("form", AT_MOST_ONE_CLICK)
def test_choice_gives_at_most_one_click(form: str):
    model, (taste, items) = _frequent(form), random_lists(300, 6)

    assert (model.click_probabilities(present(taste, items)).sum(axis=1) < 1).all()
    clicks = model.sample_clicks(present(taste, items), np.random.default_rng(2))
    assert clicks.sum(axis=1).max() == 1
    assert 0 < clicks.sum() < 300


@pytest.mark.parametrize("form", RESPONSE_MODELS)
def test_click_probability_ignores_other_lists(form: str):
    model, (taste, items) = build_response_model(form, {}), random_lists(9, 4)
    users = np.arange(9) % 3

    whole = model.click_probabilities(present(taste, items, users))
    backward = model.click_probabilities(present(taste[::-1], items[::-1], users[::-1]))

    assert whole == pytest.approx(backward[::-1], rel=1e-5)


@pytest.mark.parametrize("form", RESPONSE_MODELS)
def test_response_model_round_trips_by_name(form: str):
    model = _frequent(form)

    assert response_form(model) == form
    assert build_response_model(form, response_parameters(model)) == model
    with pytest.raises(ConfigError, match="unknown key 'no_such'"):
        build_response_model(form, {"no_such": 1.0})


def test_registry_has_every_response_file():
    folder = Path(response_models.__path__[0])
    files = {path.stem for path in folder.glob("*.py")} - OWN_FILES

    assert {model.__module__.rpartition(".")[2] for model in RESPONSE_MODELS.values()} == files
