"""Checkpoint folders: weights, schema, lengths and configuration of one training run.

    best.pt   the epoch with the best validation metric    last.pt   everything needed to resume
Files are written atomically, and read without running code from them.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.config.pipeline_config import PipelineConfig, ServingConfig
from model.config.toml_reader import ConfigError
from model.contract.schema.fitted import FittedSchema, fitted_schema_from_json
from model.nets.build import build_evaluator, build_generator
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.field_layout import FieldLayout
from model.nets.generators.abstract_generator import Generator

BEST_FILE, LAST_FILE = "best.pt", "last.pt"
# in an evaluator's metadata: for serving's selection; share of lists not in upstream's order
MIN_RELATIVE_GAIN, EXPLORED_SHARE = "min_relative_gain", "explored_share"


class CheckpointError(Exception):
    """A checkpoint is missing, damaged, of another run, or cannot be written; names the file."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that rebuilding and exporting a trained net needs.

    kind: "evaluator" or "generator".
    slots, history_length, max_candidates: M, H, N of the log.
    list_sizes: list lengths seen in training, ascending.
    weights: state_dict of the net.
    metadata: values for later steps: metrics, noise scale, mean reward, log fingerprint.
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
        """Rebuild the evaluator in eval mode, without gradients."""
        self._require_kind("evaluator")
        net = build_evaluator(
            self.config.evaluator, FieldLayout.from_schema(self.schema), self.slots
        )
        self._load_weights(net)
        return net.eval().requires_grad_(False)

    def load_generator(self) -> Generator:
        """Rebuild the generator in eval mode, without gradients."""
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
                f"the weights of this checkpoint do not fit the net that its configuration builds; "
                f"train it again: {str(error).splitlines()[0]}"
            ) from error

    def _require_kind(self, kind: str) -> None:
        if self.kind != kind:
            raise CheckpointError(f"this checkpoint holds {self.kind}, not {kind}")


def resolve_min_relative_gain(serving: ServingConfig, evaluator: Checkpoint) -> float:
    """The configured least gain of a served list, or that of the evaluator's log."""
    if serving.min_relative_gain is not None:
        return serving.min_relative_gain
    return float(evaluator.metadata.get(MIN_RELATIVE_GAIN, 0.0))


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write one checkpoint file atomically; raises CheckpointError."""
    described = {f.name: getattr(checkpoint, f.name) for f in fields(Checkpoint)}
    weights = described.pop("weights")
    described["config"] = checkpoint.config.to_mapping()
    described["schema"] = checkpoint.schema.model_dump(mode="json")
    write_state(path, {"described": json.dumps(described), "weights": weights})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint file, or best.pt of a folder; raises CheckpointError."""
    state = read_state(path / BEST_FILE if path.is_dir() else path)
    try:
        described = json.loads(state["described"])
        described["config"] = PipelineConfig.from_mapping(described["config"])
        described["schema"] = fitted_schema_from_json(described["schema"])
        return Checkpoint(**described, weights=state["weights"])
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of this version: {error}") from error


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values atomically.

    Raises:
        CheckpointError: the disk is full or the folder is not writable; the old file is kept.
    """
    partial = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError on a short write
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: cannot be written: {error}") from error


def read_state(path: Path) -> dict[str, Any]:
    """Read what `write_state` wrote, without running code from it; raises CheckpointError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a checkpoint")
    return state
