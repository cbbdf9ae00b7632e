"""Exports both nets to ONNX, verifies them against PyTorch and publishes the artifact."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from export.external_weights import ExternalWeights
from export.golden import (
    NamedArrays,
    SelectionConfig,
    golden_refiner_inputs,
    pytorch_outputs,
    read_golden_inputs,
    selected_list_indices,
    write_golden_batch,
)
from export.graph_modules import ENCODING_TENSORS, REQUEST_INPUTS, TENSOR_AXES, build_graph_specs
from export.parity import GraphRunner, ParityReport, require_parity
from export.publish import publish_artifact
from export.to_onnx import export_graph
from model.checkpoint import EXPLORED_SHARE, Checkpoint, CheckpointError, read_checkpoint
from model.contract.artifact.manifest import (
    EXTERNAL_WEIGHTS_FILE,
    GOLDEN_BATCH_FILE,
    ITEM_TABLE_FILE,
    GoldenTolerance,
    GraphSizes,
    Manifest,
    ManifestObjective,
)
from model.contract.scoring.objective import RewardWeights
from model.nets.evaluators.abstract_evaluator import Evaluator
from model.nets.request_tensors import RequestTensors

GOLDEN_INPUTS_FILE = "golden_inputs.npz"
_TOOLS = ("torch", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True)
class TrainedModels:
    """The outcome of training: both checkpoints and the folder of the serving bundle."""

    evaluator: Checkpoint
    generator: Checkpoint
    serving_bundle: Path


def read_trained_models(evaluator: Path, generator: Path) -> TrainedModels:
    """Read both checkpoints; raises CheckpointError if schemas differ or labels are no clicks."""
    trained = TrainedModels(read_checkpoint(evaluator), read_checkpoint(generator), generator)
    if trained.evaluator.schema.hash != trained.generator.schema.hash:
        raise CheckpointError(f"{evaluator} and {generator} were trained on different schemas")
    if trained.evaluator.config.train_evaluator.labels != "clicks":
        raise CheckpointError(f"{evaluator} learned from a world's truth: it is a ceiling, no net")
    return trained


def export_artifact(
    trained: TrainedModels, root: Path, report_progress: Callable[[str], object]
) -> Path:
    """Export, verify, publish; returns the artifact's folder.

    Raises:
        ParityError: ONNX outputs differ from PyTorch's; nothing is published.
    """

    def build(folder: Path) -> Callable[[str, dict[str, str]], Manifest]:
        return _build(trained, folder, report_progress)

    return publish_artifact(root, build, datetime.now(UTC))


def _build(
    trained: TrainedModels, folder: Path, say: Callable[[str], object]
) -> Callable[[str, dict[str, str]], Manifest]:
    config = trained.generator.config
    generator, evaluator = trained.generator.load_generator(), trained.evaluator.load_evaluator()
    stop = config.generator.stop_on_no_change
    inputs = read_golden_inputs(trained.serving_bundle / GOLDEN_INPUTS_FILE)
    graphs, tables = {}, ExternalWeights(folder / EXTERNAL_WEIGHTS_FILE)
    how = SelectionConfig.from_config(config)
    inputs |= golden_refiner_inputs(inputs, how.objective)
    examples = example_inputs(inputs, evaluator)
    specs = build_graph_specs(
        generator, evaluator, stop_on_no_change=stop, with_refiner=how.max_refine_steps > 0
    )
    for spec in specs:
        say(f"exporting {spec.name} ..")
        graphs[spec.name] = export_graph(spec, examples, folder / f"{spec.name}.onnx", tables)
    say("verifying against PyTorch ..")
    expected = pytorch_outputs(generator, evaluator, inputs, how, stop_on_no_change=stop)
    most = config.serving.max_candidates
    parity = require_parity(GraphRunner(folder, graphs, how), inputs, expected, most)
    say(
        f"parity: off by {parity.max_probability_error:.1e} at most, "
        f"{parity.equal_list_share:.2%} of lists equal"
    )
    write_golden_batch(
        folder / GOLDEN_BATCH_FILE, inputs, expected, selected_list_indices(inputs, expected, how)
    )
    shutil.copyfile(trained.serving_bundle / ITEM_TABLE_FILE, folder / ITEM_TABLE_FILE)

    def describe(name: str, checksums: dict[str, str]) -> Manifest:
        return Manifest(
            artifact=name,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            features=trained.generator.schema,
            schema_hash=trained.generator.schema.hash,
            graphs=graphs,
            lengths=_lengths(trained, inputs),
            objective=ManifestObjective(**config.to_mapping()["objective"]),
            members=trained.evaluator.config.evaluator.members,
            risk_aversion=config.serving.risk_aversion,
            min_relative_gain=config.serving.known_min_relative_gain,
            noise_scale=float(trained.generator.metadata["noise_scale"]),
            refine_rounds=how.max_refine_steps,
            converts=bool(trained.evaluator.metadata["converts"]),
            metrics=_metrics(trained, parity),
            data={"fingerprint": trained.generator.metadata["fingerprint"]},
            checksums=checksums,
            tolerance=GoldenTolerance(),
            versions={tool: version(tool) for tool in _TOOLS},
        )

    return describe


def example_inputs(inputs: NamedArrays, evaluator: Evaluator) -> dict[str, torch.Tensor]:
    """Two golden requests to trace with, their encoding, rules and lists of the same sizes."""
    some = {name: array[:2] for name, array in inputs.items() if name in TENSOR_AXES}
    n, m, k = some["cand_valid"].shape[1], some["slot_valid"].shape[1], 3
    some["noise_slot"], some["noise_item"] = some["noise_slot"][:, :k], some["noise_item"][:, :k]
    some["rule_member"] = np.ones((2, 2, n), dtype=bool)
    some["rule_slots"] = np.ones((2, 2, m), dtype=bool)
    some["rule_min"] = np.zeros((2, 2), dtype=np.float32)
    some["rule_max"] = np.full((2, 2), m, dtype=np.float32)
    some["lists"] = np.repeat(some["start"][:, None], k + 1, axis=1)
    some |= {"at": some["start"], **golden_refiner_inputs(some, RewardWeights(conversion=1.0))}
    made = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in some.items()}
    with torch.no_grad():
        known = evaluator.encode(RequestTensors(*(made[name] for name in REQUEST_INPUTS)))
    return made | dict(zip(ENCODING_TENSORS, known, strict=True))


def _lengths(trained: TrainedModels, inputs: NamedArrays) -> GraphSizes:
    made = trained.generator
    return GraphSizes(
        max_candidates=made.config.serving.max_candidates,
        slots=made.slots,
        sessions=made.history_length,
        session_slots=inputs["sess_valid"].shape[2],
        edits=made.config.generator.edits,
        default_list_size=max(made.list_sizes),
        list_sizes=made.list_sizes,
    )


def _metrics(trained: TrainedModels, parity: ParityReport) -> dict[str, float]:
    out = {"parity_off": parity.max_probability_error, "parity_same_lists": parity.equal_list_share}
    for checkpoint in (trained.evaluator, trained.generator):
        numbers = checkpoint.metadata["validation"]
        out |= {f"{checkpoint.kind}_{k}": float(v) for k, v in numbers.items() if v == v}
    explored = trained.evaluator.metadata.get(EXPLORED_SHARE)
    return out if explored is None else out | {EXPLORED_SHARE: float(explored)}
