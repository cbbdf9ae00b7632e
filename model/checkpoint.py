"""Checkpoint folders: weights, schema, lengths and configuration of one training run.

    best.pt   the epoch that validation liked best     last.pt   everything needed to resume
Files are written whole or not at all, and read without running code from them.
"""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.config import Config
from model.contract.fitted import FittedSchema, from_json
from model.nets.build import build_evaluator, build_generator
from model.nets.evaluator import Evaluator
from model.nets.generator import Generator
from model.nets.shape import Fields

BEST, LAST = "best.pt", "last.pt"


class CheckpointError(Exception):
    """A checkpoint that is not there, not whole, or of another run; names the file."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a trained net needs to be rebuilt and exported.

    kind: "evaluator" or "generator".
    slots, sessions, max_candidates: M, H, N of the log.
    list_sizes: list lengths seen in training.
    facts: numbers and names that later steps need (metrics, noise scale, mean reward, fingerprint).
    """

    kind: str
    config: Config
    schema: FittedSchema
    slots: int
    sessions: int
    max_candidates: int
    list_sizes: list[int]
    weights: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)

    def evaluator(self) -> Evaluator:
        """Rebuild the evaluator, ready to predict."""
        self._require("evaluator")
        net = build_evaluator(self.config.evaluator, Fields.of(self.schema), self.slots)
        self._fill(net)
        return net.eval().requires_grad_(False)

    def generator(self) -> Generator:
        """Rebuild the generator, ready to propose."""
        self._require("generator")
        config = self.config
        net = build_generator(
            config.generator, config.evaluator, Fields.of(self.schema), self.slots
        )
        self._fill(net)
        return net.eval().requires_grad_(False)

    def _fill(self, net: torch.nn.Module) -> None:
        try:
            net.load_state_dict(self.weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"this checkpoint's weights are of other nets than its configuration says today; "
                f"train anew: {str(error).splitlines()[0]}"
            ) from error

    def _require(self, kind: str) -> None:
        if self.kind != kind:
            raise CheckpointError(f"this checkpoint holds {self.kind}, not {kind}")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write one checkpoint file."""
    described = {
        "kind": checkpoint.kind,
        "config": checkpoint.config.as_mapping(),
        "schema": checkpoint.schema.model_dump(mode="json"),
        "slots": checkpoint.slots,
        "sessions": checkpoint.sessions,
        "max_candidates": checkpoint.max_candidates,
        "list_sizes": checkpoint.list_sizes,
        "facts": checkpoint.facts,
    }
    write_state(path, {"described": json.dumps(described), "weights": checkpoint.weights})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote; a folder means its best epoch."""
    state = read_state(path / BEST if path.is_dir() else path)
    try:
        described = json.loads(state["described"])
        described["config"] = Config.from_mapping(_as_trained(described["config"]))
        described["schema"] = from_json(described["schema"])
        return Checkpoint(**described, weights=state["weights"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of this version: {error}") from error


def _as_trained(config: dict[str, Any]) -> dict[str, Any]:
    """With what was so before there was a key for it."""
    config["generator"].setdefault("by_relevance", False)
    return config


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_state(path: Path) -> dict[str, Any]:
    """Read tensors and plain values; never runs code from the file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a checkpoint")
    return state
