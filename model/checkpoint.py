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

from model.config.pipeline_config import PipelineConfig
from model.contract.schema.fitted import FittedSchema, fitted_schema_from_json
from model.nets.build import build_evaluator, build_generator
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.field_layout import FieldLayout
from model.nets.generators.abstract_generator import Generator

BEST_FILE, LAST_FILE = "best.pt", "last.pt"


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
    config: PipelineConfig
    schema: FittedSchema
    slots: int
    history_length: int
    max_candidates: int
    list_sizes: list[int]
    weights: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)

    def load_evaluator(self) -> Evaluator:
        """Rebuild the evaluator, ready to predict."""
        self._require_kind("evaluator")
        net = build_evaluator(
            self.config.evaluator, FieldLayout.from_schema(self.schema), self.slots
        )
        self._load_weights(net)
        return net.eval().requires_grad_(False)

    def load_generator(self) -> Generator:
        """Rebuild the generator, ready to propose."""
        self._require_kind("generator")
        config = self.config
        net = build_generator(
            config.generator, config.evaluator, FieldLayout.from_schema(self.schema), self.slots
        )
        self._load_weights(net)
        return net.eval().requires_grad_(False)

    def _load_weights(self, net: torch.nn.Module) -> None:
        try:
            net.load_state_dict(self.weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"this checkpoint's weights are of other nets than its configuration says today; "
                f"train anew: {str(error).splitlines()[0]}"
            ) from error

    def _require_kind(self, kind: str) -> None:
        if self.kind != kind:
            raise CheckpointError(f"this checkpoint holds {self.kind}, not {kind}")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write one checkpoint file."""
    described = {
        "kind": checkpoint.kind,
        "config": checkpoint.config.to_mapping(),
        "schema": checkpoint.schema.model_dump(mode="json"),
        "slots": checkpoint.slots,
        "history_length": checkpoint.history_length,
        "max_candidates": checkpoint.max_candidates,
        "list_sizes": checkpoint.list_sizes,
        "metadata": checkpoint.metadata,
    }
    write_state(path, {"described": json.dumps(described), "weights": checkpoint.weights})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `write_checkpoint` wrote; a folder means its best epoch."""
    state = read_state(path / BEST_FILE if path.is_dir() else path)
    try:
        described = json.loads(state["described"])
        described["config"] = PipelineConfig.from_mapping(_as_trained(described["config"]))
        described["schema"] = fitted_schema_from_json(described["schema"])
        return Checkpoint(**described, weights=state["weights"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of this version: {error}") from error


def _as_trained(config: dict[str, Any]) -> dict[str, Any]:
    """With what was so before there was a key for it."""
    config["generator"].setdefault("starts_from_relevance_order", False)
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
