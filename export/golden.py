"""The golden batch: real validation requests and the answers PyTorch gives to them.

An artifact carries it, and whoever loads the artifact must reproduce it before serving.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.graph import EDITING, REQUEST
from model.contract.choice import Objective, choose, reward
from model.nets.edits import EditStart, propose
from model.nets.evaluator import Evaluator
from model.nets.generator import Generator
from model.nets.inputs import RequestTensors
from model.nets.layers import take_lists

Arrays = dict[str, NDArray[Any]]
INPUT = "in_"  # prefix of a graph input's name
VALUES = "values"  # (B, N) value of each candidate; only where the objective uses one


def read_inputs(path: Path) -> Arrays:
    """Read golden_inputs.npz of the hand-over: arrays under the graphs' input names."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@torch.no_grad()
def answer(
    generator: Generator, evaluator: Evaluator, inputs: Arrays, *, stop_on_no_change: bool
) -> Arrays:
    """What PyTorch answers: lists (B, K, M), p_click and p_conversion (E, B, K + 1, M)."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    request = RequestTensors(*(tensors[name] for name in REQUEST))
    start, editable, noise_slot, noise_item = (tensors[name] for name in EDITING)
    begin = EditStart(start, editable, noise_slot, noise_item)
    known = evaluator.encode(request)
    lists = propose(generator, request, known, begin, stop_on_no_change=stop_on_no_change)
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


def chosen_lists(
    inputs: Arrays, answers: Arrays, objective: Objective, pessimism: float
) -> NDArray[np.int64]:
    """Which of the K + 1 lists each golden request is served, (B,)."""
    values = None
    if VALUES in inputs and objective.value:
        lists = np.concatenate([answers["lists"], inputs["start"][:, None]], axis=1)
        values = np.take_along_axis(inputs[VALUES][:, None, :], lists, axis=2)
    rewards = reward(
        answers["p_click"], answers["p_conversion"], values, inputs["slot_valid"], objective
    )
    return choose(rewards, pessimism)


def write_golden(path: Path, inputs: Arrays, answers: Arrays, chosen: NDArray[np.int64]) -> None:
    """Write golden.npz: `in_<input>` arrays, the answers, and `chosen`."""
    named = {INPUT + name: array for name, array in inputs.items()}
    np.savez_compressed(path, allow_pickle=False, **named, **answers, chosen=chosen)
