"""The golden batch: validation requests and PyTorch's outputs for them.

An artifact carries it, and a service must reproduce it before it serves the artifact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from export.graph_modules import EDIT_INPUTS, REQUEST_INPUTS
from model.config.pipeline_config import PipelineConfig
from model.contract.scoring.local_search import (
    REWARD_WEIGHT_INPUTS,
    iterate_local_search,
    refiner_fixed_inputs,
)
from model.contract.scoring.objective import RewardWeights, compute_rewards, select_lists
from model.nets.blocks.layers import gather_lists
from model.nets.evaluators.abstract_evaluator import EncodedRequest, Evaluator
from model.nets.evaluators.pair_evaluator import PairEvaluator
from model.nets.generators.abstract_generator import Generator
from model.nets.generators.edit_inputs import EditInputs
from model.nets.generators.list_editing import encode_and_edit
from model.nets.local_search.best_neighbor_step import HillClimbState, hill_climb_step
from model.nets.local_search.neighbor_rewards import RewardWeightTensors
from model.nets.request_tensors import RequestTensors

NamedArrays = dict[str, NDArray[Any]]
INPUT_PREFIX = "in_"  # prefix of a graph input's name
CANDIDATE_VALUES = "values"  # (B, N) value of each candidate; only where the objective uses one


def read_golden_inputs(path: Path) -> NamedArrays:
    """Read the serving bundle's golden inputs: arrays under the graphs' input names."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig:
    """How a list is selected: reward weights, lambda, least gain, refinement steps at most."""

    objective: RewardWeights
    risk_aversion: float = 0.0
    min_relative_gain: float = 0.0
    max_refine_steps: int = 0

    @classmethod
    def from_config(cls, config: PipelineConfig) -> Self:
        """Selection settings of a pipeline configuration."""
        serving = config.serving
        return cls(
            objective=config.objective.to_reward_weights(),
            risk_aversion=serving.risk_aversion,
            min_relative_gain=serving.known_min_relative_gain,
            max_refine_steps=config.refine_rounds,
        )


def golden_refiner_inputs(inputs: NamedArrays, objective: RewardWeights) -> NamedArrays:
    """Inputs of the refiner's graph that no step changes, by name."""
    return refiner_fixed_inputs(inputs, objective, inputs.get(CANDIDATE_VALUES))


@torch.no_grad()
def pytorch_outputs(
    generator: Generator,
    evaluator: Evaluator,
    inputs: NamedArrays,
    selection: SelectionConfig,
    *,
    stop_on_no_change: bool,
) -> NamedArrays:
    """PyTorch's lists (B, L, M), and p_click and p_conversion (E, B, L + 1, M).

    L is K, and with refinement K + 1: the refined list is the last.
    """
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    request = RequestTensors(*(tensors[name] for name in REQUEST_INPUTS))
    start, editable, noise_slot, noise_item = (tensors[name] for name in EDIT_INPUTS)
    told = {
        name: torch.from_numpy(a)
        for name, a in golden_refiner_inputs(inputs, selection.objective).items()
    }
    counts = RewardWeightTensors(*(told[name] for name in REWARD_WEIGHT_INPUTS))
    known = evaluator.encode(request)
    order = generator.relevance_scores(known, counts.click_weight, counts.conversion_weight)
    begin = EditInputs(start, editable, noise_slot, noise_item, order)
    lists = encode_and_edit(generator, request, known, begin, stop_on_no_change=stop_on_no_change)
    answers = _scored_lists(evaluator, known, request, lists, start)
    if not selection.max_refine_steps:
        return answers
    assert isinstance(evaluator, PairEvaluator)

    def on(at: torch.Tensor) -> torch.Tensor:
        here = HillClimbState(at, request.slot_valid, editable, told["movable"])
        return hill_climb_step(evaluator, known.candidates, here, counts)

    begun = torch.from_numpy(best_scored_lists(inputs, answers, selection)).long()
    refined = iterate_local_search(on, begun, selection.max_refine_steps).unsqueeze(1)
    return _scored_lists(evaluator, known, request, torch.cat([lists, refined], dim=1), start)


def _scored_lists(
    evaluator: Evaluator,
    known: EncodedRequest,
    request: RequestTensors,
    lists: torch.Tensor,
    start: torch.Tensor,
) -> NamedArrays:
    """Lists (B, L, M), and the evaluator's outputs for them and the input list."""
    judged = gather_lists(known.candidates, append_input_list(lists, start))
    p_click, p_conversion = evaluator.score(known, judged, request.slot_valid)
    return {
        "lists": lists.to(torch.int32).numpy(),
        "p_click": p_click.numpy(),
        "p_conversion": p_conversion.numpy(),
    }


def append_input_list(lists: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Append the input list; the last one by contract."""
    return torch.cat([lists, start.unsqueeze(1).to(lists.dtype)], dim=1)


def selected_list_indices(
    inputs: NamedArrays, outputs: NamedArrays, selection: SelectionConfig
) -> NDArray[np.int64]:
    """Index (B,) of the served list of each golden request; the last one is the input list."""
    values, objective = None, selection.objective
    if CANDIDATE_VALUES in inputs and objective.value:
        lists = np.concatenate([outputs["lists"], inputs["start"][:, None]], axis=1)
        values = np.take_along_axis(inputs[CANDIDATE_VALUES][:, None, :], lists, axis=2)
    rewards = compute_rewards(
        outputs["p_click"], outputs["p_conversion"], values, inputs["slot_valid"], objective
    )
    return select_lists(rewards, selection.risk_aversion, selection.min_relative_gain)


def best_scored_lists(
    inputs: NamedArrays, outputs: NamedArrays, selection: SelectionConfig
) -> NDArray[np.int32]:
    """The lists (B, M) that refinement starts from: selected without a least gain."""
    lists = np.concatenate([outputs["lists"], inputs["start"][:, None]], axis=1)
    without = replace(selection, min_relative_gain=0.0)
    return lists[np.arange(len(lists)), selected_list_indices(inputs, outputs, without)]


def write_golden_batch(
    path: Path, inputs: NamedArrays, outputs: NamedArrays, selected: NDArray[np.int64]
) -> None:
    """Write golden.npz: `in_<input>` arrays, the outputs, and `chosen`."""
    named = {INPUT_PREFIX + name: array for name, array in inputs.items()}
    np.savez_compressed(path, allow_pickle=False, **named, **outputs, chosen=selected)
