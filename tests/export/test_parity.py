"""Parity on real (toy) requests; what a wrong graph looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.golden import NamedArrays, SelectionConfig, pytorch_outputs
from export.parity import (
    PROBABILITY_TOLERANCE,
    GraphRunner,
    ParityError,
    compare_outputs,
    require_parity,
)
from model.checkpoint import EXPLORED_SHARE
from model.contract.artifact.manifest import read_manifest
from model.contract.scoring.objective import RewardWeights, compute_rewards, select_lists
from tests.tiny_artifact import (
    MAX_CANDIDATES,
    NET_CONFIGS,
    TINY_EXPLORED_SHARE,
    build_tiny_models,
    tiny_artifact,
)


@pytest.fixture(scope="module", params=sorted(NET_CONFIGS))
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_artifact(tmp_path_factory.mktemp("artifact"), request.param)


def graph_runner(artifact: Path) -> GraphRunner:
    """The artifact's graphs, and how it chooses."""
    manifest = read_manifest(artifact)
    how = SelectionConfig(
        objective=manifest.objective.reward_weights,
        risk_aversion=manifest.risk_aversion,
        max_refine_steps=manifest.refine_rounds,
    )
    return GraphRunner(artifact, manifest.graphs, how)


@pytest.fixture(scope="module")
def golden(artifact: Path) -> tuple[NamedArrays, NamedArrays]:
    with np.load(artifact / "golden.npz") as file:
        inputs = {k.removeprefix("in_"): file[k] for k in file.files if k.startswith("in_")}
        answers = {k: file[k] for k in ("lists", "p_click", "p_conversion", "chosen")}
    return inputs, answers


def test_require_parity_exported_graphs_match_pytorch(
    artifact: Path, golden: tuple[NamedArrays, NamedArrays]
):
    inputs, expected = golden

    parity = require_parity(graph_runner(artifact), inputs, expected, MAX_CANDIDATES)

    assert parity.max_probability_error <= PROBABILITY_TOLERANCE
    assert (expected["lists"] != inputs["start"][:, None]).any()  # there was something to compare


def test_manifest_names_the_explored_share_of_the_log(artifact: Path):
    assert read_manifest(artifact).metrics[EXPLORED_SHARE] == TINY_EXPLORED_SHARE


def test_require_parity_probability_error_raises(
    artifact: Path, golden: tuple[NamedArrays, NamedArrays]
):
    inputs, expected = golden
    wrong = {**expected, "p_click": expected["p_click"] + 2 * PROBABILITY_TOLERANCE}

    with pytest.raises(ParityError, match="batch 1: probabilities off"):
        require_parity(graph_runner(artifact), inputs, wrong, MAX_CANDIDATES)


def test_require_parity_different_lists_raise(
    artifact: Path, golden: tuple[NamedArrays, NamedArrays]
):
    inputs, expected = golden
    lists = expected["lists"].copy()
    lists[:, :2] = lists[:, :2][..., ::-1]

    with pytest.raises(ParityError, match="of lists equal"):
        require_parity(graph_runner(artifact), inputs, {**expected, "lists": lists}, 20)


def test_golden_selection_matches_contract(artifact: Path, golden: tuple[NamedArrays, NamedArrays]):
    inputs, expected = golden
    manifest = read_manifest(artifact)
    weights = manifest.objective
    objective = RewardWeights(
        click=weights.click, conversion=weights.conversion, value=weights.value
    )
    rewards = compute_rewards(
        expected["p_click"], expected["p_conversion"], None, inputs["slot_valid"], objective
    )

    assert (select_lists(rewards, manifest.risk_aversion) == expected["chosen"]).all()
    input_list = rewards.shape[-1] - 1
    assert (expected["chosen"] < input_list).mean() > 0.5
    if not graph_runner(artifact).selection.max_refine_steps:  # a refined list is chosen always
        assert len(np.unique(expected["chosen"])) > 1


def test_require_parity_different_refined_list_raises(
    artifact: Path, golden: tuple[NamedArrays, NamedArrays]
):
    inputs, expected = golden
    runner = graph_runner(artifact)
    if not runner.selection.max_refine_steps:
        assert expected["lists"].shape[1] == inputs["noise_item"].shape[1]
        return
    lists = expected["lists"].copy()
    assert (lists[:, -1:] != lists[:, :-1]).any(axis=-1).all(axis=1).mean() > 0.5  # it climbed
    lists[: len(lists) // 2, -1] = lists[: len(lists) // 2, 0]

    with pytest.raises(ParityError, match="of lists equal"):
        require_parity(runner, inputs, {**expected, "lists": lists}, 20)


def test_compare_outputs_ignores_predictions_of_different_lists():
    one = {
        "lists": np.array([[[0, 1]], [[1, 0]]]),
        "p_click": np.zeros((1, 2, 2, 2)),
        "p_conversion": np.zeros((1, 2, 2, 2)),
    }
    other = {name: array.copy() for name, array in one.items()}
    other["lists"][0, 0] = [1, 0]
    other["p_click"][0, 0, 0] = 0.5  # of the list that differs
    other["p_click"][0, 1, 1] = 0.25  # of an input list

    parity = compare_outputs(one, other)

    assert (parity.max_probability_error, parity.equal_list_share) == (0.25, 0.5)


def test_graph_runner_batch_order_keeps_lists(
    artifact: Path, golden: tuple[NamedArrays, NamedArrays]
):
    inputs, expected = golden
    runner = graph_runner(artifact)
    order = np.arange(len(inputs["start"]))[::-1]

    shuffled = runner.predict({name: array[order] for name, array in inputs.items()})

    assert (shuffled["lists"] == expected["lists"][order]).all()


def test_graph_runner_identical_candidates_keep_their_order(tmp_path: Path):
    trained = build_tiny_models(tmp_path / "trained", "pair")
    artifact = tiny_artifact(tmp_path / "artifact", "pair")
    runner = graph_runner(artifact)
    with np.load(artifact / "golden.npz") as file:
        inputs = {k.removeprefix("in_"): file[k] for k in file.files if k.startswith("in_")}
    first = inputs["candidates"][:, :1]
    inputs["candidates"] = np.where(inputs["cand_valid"][..., None], first, 0)

    expected = pytorch_outputs(
        trained.generator.load_generator(),
        trained.evaluator.load_evaluator(),
        inputs,
        runner.selection,
        stop_on_no_change=False,
    )

    assert compare_outputs(expected, runner.predict(inputs)).equal_list_share == 1.0
