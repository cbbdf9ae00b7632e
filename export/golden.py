"""The golden batch: real validation requests and the answers PyTorch gives to them.

An artifact carries it, and whoever loads the artifact must reproduce it before serving.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from export.graph import EDITING, REQUEST
from model.config import Config
from model.contract.choice import Objective, choose, reward
from model.contract.refine import WORTH, ascend, fixed_inputs
from model.nets.ascent import Stand, step
from model.nets.edit_start import EditStart
from model.nets.edits import propose
from model.nets.evaluator import Encoded, Evaluator
from model.nets.generator import Generator
from model.nets.inputs import RequestTensors
from model.nets.layers import take_lists
from model.nets.neighbor_values import Worth
from model.nets.pair_evaluator import PairEvaluator

Arrays = dict[str, NDArray[Any]]
INPUT = "in_"  # prefix of a graph input's name
VALUES = "values"  # (B, N) value of each candidate; only where the objective uses one


def read_inputs(path: Path) -> Arrays:
    """Read golden_inputs.npz of the hand-over: arrays under the graphs' input names."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """How a list is chosen: what it is worth, lambda, and steps of refinement at most."""

    objective: Objective
    pessimism: float = 0.0
    rounds: int = 0

    @classmethod
    def of(cls, config: Config) -> Self:
        """As a configuration says."""
        serving = config.serving
        return cls(
            objective=config.objective.weights(),
            pessimism=serving.pessimism,
            rounds=config.refine_rounds,
        )


def refining(inputs: Arrays, objective: Objective) -> Arrays:
    """By name, what the refiner's graph takes that no step changes."""
    return fixed_inputs(inputs, objective, inputs.get(VALUES))


@torch.no_grad()
def answer(
    generator: Generator,
    evaluator: Evaluator,
    inputs: Arrays,
    how: Choosing,
    *,
    stop_on_no_change: bool,
) -> Arrays:
    """What PyTorch answers: lists (B, L, M), p_click and p_conversion (E, B, L + 1, M).

    L is K, and with refinement K + 1: the chosen list after its ascent is the last.
    """
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    request = RequestTensors(*(tensors[name] for name in REQUEST))
    start, editable, noise_slot, noise_item = (tensors[name] for name in EDITING)
    told = {name: torch.from_numpy(a) for name, a in refining(inputs, how.objective).items()}
    counts = Worth(*(told[name] for name in WORTH))
    known = evaluator.encode(request)
    order = generator.order(known, counts.click, counts.conversion)
    begin = EditStart(start, editable, noise_slot, noise_item, order)
    lists = propose(generator, request, known, begin, stop_on_no_change=stop_on_no_change)
    answers = _judged(evaluator, known, request, lists, start)
    if not how.rounds:
        return answers
    assert isinstance(evaluator, PairEvaluator)

    def on(at: torch.Tensor) -> torch.Tensor:
        here = Stand(at, request.slot_valid, editable, told["movable"])
        return step(evaluator, known.candidates, here, counts)

    begun = torch.from_numpy(chosen_list(inputs, answers, how)).long()
    refined = ascend(on, begun, how.rounds).unsqueeze(1)
    return _judged(evaluator, known, request, torch.cat([lists, refined], dim=1), start)


def _judged(
    evaluator: Evaluator,
    known: Encoded,
    request: RequestTensors,
    lists: torch.Tensor,
    start: torch.Tensor,
) -> Arrays:
    """Lists (B, L, M), and what the evaluator says of them and of the input list."""
    judged = take_lists(known.candidates, with_input_list(lists, start))
    p_click, p_conversion = evaluator.score(known, judged, request.slot_valid)
    return {
        "lists": lists.to(torch.int32).numpy(),
        "p_click": p_click.numpy(),
        "p_conversion": p_conversion.numpy(),
    }


def with_input_list(lists: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Append the input list, last by contract."""
    return torch.cat([lists, start.unsqueeze(1).to(lists.dtype)], dim=1)


def chosen_places(inputs: Arrays, answers: Arrays, how: Choosing) -> NDArray[np.int64]:
    """Which of its lists each golden request is served, (B,); the last is the input list."""
    values, objective = None, how.objective
    if VALUES in inputs and objective.value:
        lists = np.concatenate([answers["lists"], inputs["start"][:, None]], axis=1)
        values = np.take_along_axis(inputs[VALUES][:, None, :], lists, axis=2)
    rewards = reward(
        answers["p_click"], answers["p_conversion"], values, inputs["slot_valid"], objective
    )
    return choose(rewards, how.pessimism)


def chosen_list(inputs: Arrays, answers: Arrays, how: Choosing) -> NDArray[np.int32]:
    """(B, M), the list itself."""
    lists = np.concatenate([answers["lists"], inputs["start"][:, None]], axis=1)
    return lists[np.arange(len(lists)), chosen_places(inputs, answers, how)]


def write_golden(path: Path, inputs: Arrays, answers: Arrays, chosen: NDArray[np.int64]) -> None:
    """Write golden.npz: `in_<input>` arrays, the answers, and `chosen`."""
    named = {INPUT + name: array for name, array in inputs.items()}
    np.savez_compressed(path, allow_pickle=False, **named, **answers, chosen=chosen)
