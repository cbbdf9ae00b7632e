"""Reads an artifact folder into graphs and items. `verification.py` checks it before it serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    GENERATOR_GRAPH,
    ITEM_TABLE_FILE,
    GraphEntry,
    Manifest,
    check_artifact_files,
    read_manifest,
)
from model.contract.errors import ManifestError
from model.contract.schema.item_table import ItemTable
from service.inference.graphs import ORT_ERRORS, OrtGraphs, open_session
from service.inference.mapped_weights import MemoryMappedWeights

CURRENT = "current"
LOAD_ERRORS: tuple[type[Exception], ...] = (OSError, *ORT_ERRORS)


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact in memory or mapped. Its folder may be deleted, but not changed."""

    folder: Path
    manifest: Manifest
    graphs: OrtGraphs
    items: ItemTable


def resolve_folder(path: Path) -> Path:
    """The artifact's folder: `path` or the target of its `current` link, resolved once.

    All files are then read from one folder, even when the link changes meanwhile.
    """
    link = path / CURRENT
    try:
        return (link if link.exists() else path).resolve(strict=True)
    except OSError as error:
        raise ManifestError(artifact=str(path), reason="no such folder") from error


def read_artifact(path: Path) -> Artifact:
    """Read and check manifest, checksums, graphs and items; raises ManifestError."""
    folder = resolve_folder(path)
    manifest = read_manifest(folder)
    missing = {GENERATOR_GRAPH, EVALUATOR_GRAPH} - set(manifest.graphs)
    if missing:
        raise ManifestError(artifact=str(folder), reason=f"no graph {sorted(missing)[0]}")
    check_artifact_files(folder, manifest)
    items = ItemTable.read(folder / ITEM_TABLE_FILE)
    width = sum(f.width for f in manifest.features.fields if f.scope == "item")
    if items.rows.shape[1:] != (width,) or items.default_row.shape != (width,):
        raise ManifestError(
            artifact=str(folder),
            reason=f"{ITEM_TABLE_FILE} has rows of {items.rows.shape[1:]}, "
            f"the schema needs {width}",
        )
    return Artifact(folder, manifest, _open_graphs(folder, manifest), items)


def _open_graphs(folder: Path, manifest: Manifest) -> OrtGraphs:
    sessions, mapped = {}, MemoryMappedWeights(folder, manifest)
    for name, graph in manifest.graphs.items():
        try:
            sessions[name] = open_session(folder / graph.file, mapped.values(graph.tables))
        except LOAD_ERRORS as error:
            what = f"{graph.file} cannot be loaded: {error}"
            raise ManifestError(artifact=str(folder), reason=what) from error
        _require_same_inputs(folder, graph, sessions[name])
    return OrtGraphs(manifest, sessions)


def _require_same_inputs(folder: Path, graph: GraphEntry, session: ort.InferenceSession) -> None:
    """Raise ManifestError when the graph's inputs are not those of the manifest."""
    actual = {i.name for i in session.get_inputs()}
    listed = {tensor.name for tensor in graph.inputs}
    if actual != listed:
        different = sorted(actual ^ listed)[0]
        what = f"{graph.file} and its manifest disagree on input {different}"
        raise ManifestError(artifact=str(folder), reason=what)
