"""Parity on real (toy) requests; what a wrong graph looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.golden import Arrays, Choosing, answer
from export.parity import PROBABILITY_TOLERANCE, ParityError, Runner, compare, require_parity
from model.contract.choice import Objective, choose, reward
from model.contract.manifest import read_manifest
from tests.artifacts import KINDS, MAX_CANDIDATES, tiny_artifact, tiny_trained


@pytest.fixture(scope="module", params=sorted(KINDS))
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp("artifact"), request.param)


def runner_of(artifact: Path) -> Runner:
    """The artifact's graphs, and how it chooses."""
    manifest = read_manifest(artifact)
    how = Choosing(
        objective=manifest.objective.weights,
        pessimism=manifest.pessimism,
        rounds=manifest.refine_rounds,
    )
    return Runner(artifact, manifest.graphs, how)


@pytest.fixture(scope="module")
def golden(artifact: Path) -> tuple[Arrays, Arrays]:
    with np.load(artifact / "golden.npz") as file:
        inputs = {k.removeprefix("in_"): file[k] for k in file.files if k.startswith("in_")}
        answers = {k: file[k] for k in ("lists", "p_click", "p_conversion", "chosen")}
    return inputs, answers


def test_onnx_answers_as_pytorch_at_batch_one_at_the_whole_batch_and_at_the_maximum(
    artifact: Path, golden: tuple[Arrays, Arrays]
):
    inputs, expected = golden

    parity = require_parity(runner_of(artifact), inputs, expected, MAX_CANDIDATES)

    assert parity.off <= PROBABILITY_TOLERANCE
    assert (expected["lists"] != inputs["start"][:, None]).any()  # there was something to compare


def test_an_answer_that_is_off_by_more_than_the_tolerance_stops_the_export(
    artifact: Path, golden: tuple[Arrays, Arrays]
):
    inputs, expected = golden
    wrong = {**expected, "p_click": expected["p_click"] + 2 * PROBABILITY_TOLERANCE}

    with pytest.raises(ParityError, match="batch 1: probabilities off"):
        require_parity(runner_of(artifact), inputs, wrong, MAX_CANDIDATES)


def test_other_lists_than_pytorchs_stop_the_export(artifact: Path, golden: tuple[Arrays, Arrays]):
    inputs, expected = golden
    lists = expected["lists"].copy()
    lists[:, :2] = lists[:, :2][..., ::-1]

    with pytest.raises(ParityError, match="of lists equal"):
        require_parity(runner_of(artifact), inputs, {**expected, "lists": lists}, 20)


def test_the_golden_choice_is_the_contracts(artifact: Path, golden: tuple[Arrays, Arrays]):
    inputs, expected = golden
    manifest = read_manifest(artifact)
    weights = manifest.objective
    objective = Objective(click=weights.click, conversion=weights.conversion, value=weights.value)
    rewards = reward(
        expected["p_click"], expected["p_conversion"], None, inputs["slot_valid"], objective
    )

    assert (choose(rewards, manifest.pessimism) == expected["chosen"]).all()
    assert len(np.unique(expected["chosen"])) > 1  # where lists are refined, that one nearly always


def test_a_refined_list_that_pytorch_did_not_reach_stops_the_export(
    artifact: Path, golden: tuple[Arrays, Arrays]
):
    inputs, expected = golden
    runner = runner_of(artifact)
    if not runner.how.rounds:
        assert expected["lists"].shape[1] == inputs["noise_item"].shape[1]
        return
    lists = expected["lists"].copy()
    assert (lists[:, -1:] != lists[:, :-1]).any(axis=-1).all(axis=1).mean() > 0.5  # it climbed
    lists[: len(lists) // 2, -1] = lists[: len(lists) // 2, 0]

    with pytest.raises(ParityError, match="of lists equal"):
        require_parity(runner, inputs, {**expected, "lists": lists}, 20)


def test_comparing_ignores_predictions_of_lists_that_differ():
    one = {
        "lists": np.array([[[0, 1]], [[1, 0]]]),
        "p_click": np.zeros((1, 2, 2, 2)),
        "p_conversion": np.zeros((1, 2, 2, 2)),
    }
    other = {name: array.copy() for name, array in one.items()}
    other["lists"][0, 0] = [1, 0]
    other["p_click"][0, 0, 0] = 0.5  # of the list that differs
    other["p_click"][0, 1, 1] = 0.25  # of an input list

    parity = compare(one, other)

    assert (parity.off, parity.same_lists) == (0.25, 0.5)


def test_a_request_gets_the_same_lists_alone_and_in_company(
    artifact: Path, golden: tuple[Arrays, Arrays]
):
    inputs, expected = golden
    runner = runner_of(artifact)
    order = np.arange(len(inputs["start"]))[::-1]

    shuffled = runner.answer({name: array[order] for name, array in inputs.items()})

    assert (shuffled["lists"] == expected["lists"][order]).all()


def test_candidates_that_nothing_tells_apart_stand_in_the_same_order(tmp_path: Path):
    trained = tiny_trained(tmp_path / "trained", "pair")
    artifact = tiny_artifact(tmp_path / "artifact", "pair")
    runner = runner_of(artifact)
    with np.load(artifact / "golden.npz") as file:
        inputs = {k.removeprefix("in_"): file[k] for k in file.files if k.startswith("in_")}
    first = inputs["candidates"][:, :1]
    inputs["candidates"] = np.where(inputs["cand_valid"][..., None], first, 0)

    expected = answer(
        trained.generator.generator(),
        trained.evaluator.evaluator(),
        inputs,
        runner.how,
        stop_on_no_change=False,
    )

    assert compare(expected, runner.answer(inputs)).same_lists == 1.0
