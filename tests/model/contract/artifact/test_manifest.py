"""An artifact's folder is what its manifest says, or it is refused with the reason."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    EXTERNAL_WEIGHTS_FILE,
    GENERATOR_GRAPH,
    GENERATOR_RULES_GRAPH,
    GOLDEN_BATCH_FILE,
    ITEM_TABLE_FILE,
    MANIFEST_FILE,
    REFINER_GRAPH,
    REFINER_RULES_GRAPH,
    GraphEntry,
    GraphSizes,
    Manifest,
    check_artifact_files,
    file_sha256,
    read_manifest,
    write_manifest,
)
from model.contract.errors import ManifestError
from model.contract.schema.fitted import FittedSchema

FILES = ("generator.onnx", "evaluator.onnx", ITEM_TABLE_FILE, GOLDEN_BATCH_FILE)


@pytest.fixture
def folder(tmp_path: Path, schema: FittedSchema) -> Path:
    """An artifact's folder, whole; its files hold text, for nothing here runs a graph."""
    home = tmp_path / "artifact"
    home.mkdir()
    for name in FILES:
        (home / name).write_text(f"content of {name}")
    graphs = {
        name: GraphEntry(file=f"{name}.onnx", inputs=[], outputs=[], nodes=1)
        for name in (GENERATOR_GRAPH, EVALUATOR_GRAPH)
    }
    manifest = Manifest(
        artifact="toy",
        created_at="2026-11-21T00:00:00Z",
        features=schema,
        schema_hash=schema.hash,
        graphs=graphs,
        lengths=GraphSizes(
            max_candidates=50,
            slots=10,
            sessions=10,
            session_slots=10,
            edits=4,
            default_list_size=10,
            list_sizes=[10],
        ),
        members=1,
        noise_scale=0.5,
        checksums={name: file_sha256(home / name) for name in FILES},
    )
    write_manifest(home, manifest)
    return home


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads((folder / MANIFEST_FILE).read_text())
    change(raw)
    (folder / MANIFEST_FILE).write_text(json.dumps(raw))


def test_manifest_write_and_read_round_trip(folder, schema):
    manifest = read_manifest(folder)

    check_artifact_files(folder, manifest)
    assert manifest.features == schema
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


def test_file_sha256_equals_hashlib(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # the first example of FIPS 180-4
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "x") == expected


@pytest.mark.parametrize("name", FILES)
def test_check_artifact_files_altered_or_missing_is_rejected(folder, name):
    manifest = read_manifest(folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b"!")
    with pytest.raises(ManifestError, match=f"{name} was altered"):
        check_artifact_files(folder, manifest)
    (folder / name).unlink()
    with pytest.raises(ManifestError, match=f"{name} is missing"):
        check_artifact_files(folder, manifest)


def test_check_artifact_files_at_volume_root_pass(folder):
    (folder / "lost+found").mkdir()

    check_artifact_files(folder, read_manifest(folder))


@pytest.mark.parametrize("name", FILES)
def test_check_artifact_files_required_file_needs_checksum(folder, name):
    rewrite_manifest(folder, lambda raw: raw["checksums"].pop(name))
    with pytest.raises(ManifestError, match=f"no checksum for {name}"):
        check_artifact_files(folder, read_manifest(folder))


def test_check_artifact_files_external_weights_need_checksum(folder):
    table = {"name": "t", "dtype": "float32", "shape": [2, 2], "offset": 0}
    rewrite_manifest(folder, lambda raw: raw["graphs"][GENERATOR_GRAPH].update(tables=[table]))
    with pytest.raises(ManifestError, match=f"no checksum for {EXTERNAL_WEIGHTS_FILE}"):
        check_artifact_files(folder, read_manifest(folder))


def test_manifest_rule_generator_without_rule_refiner_is_rejected(folder):
    graph = {"file": "generator.onnx", "inputs": [], "outputs": [], "nodes": 1}

    def graphs(*more: str) -> Callable[[dict[str, Any]], None]:
        names = (GENERATOR_GRAPH, EVALUATOR_GRAPH, *more)
        return lambda raw: raw.update(refine_rounds=8, graphs=dict.fromkeys(names, graph))

    rewrite_manifest(folder, graphs())
    with pytest.raises(ManifestError, match=f"there is no {REFINER_GRAPH} for {GENERATOR_GRAPH}$"):
        read_manifest(folder)
    rewrite_manifest(folder, graphs(REFINER_GRAPH))
    assert read_manifest(folder).refine_rounds == 8
    rewrite_manifest(folder, graphs(REFINER_GRAPH, GENERATOR_RULES_GRAPH))
    with pytest.raises(
        ManifestError, match=f"there is no {REFINER_RULES_GRAPH} for {GENERATOR_RULES_GRAPH}$"
    ):
        read_manifest(folder)
    rewrite_manifest(folder, graphs(REFINER_GRAPH, GENERATOR_RULES_GRAPH, REFINER_RULES_GRAPH))
    assert read_manifest(folder).refine_rounds == 8


def test_check_artifact_files_extra_file_is_rejected(folder):
    (folder / "evaluator.onnx.data").write_text("weights from elsewhere")
    with pytest.raises(ManifestError, match=r"no checksum for evaluator\.onnx\.data"):
        check_artifact_files(folder, read_manifest(folder))


@pytest.mark.parametrize("where", ["../outside.onnx", ".deeper/inside.onnx", "ABSOLUTE", "..", ""])
def test_check_artifact_files_path_outside_folder_is_rejected(folder, where):
    outside, inside = folder.parent / "outside.onnx", folder / ".deeper" / "inside.onnx"
    inside.parent.mkdir()
    for target in (outside, inside):
        shutil.copy(folder / "generator.onnx", target)
    name = str(outside) if where == "ABSOLUTE" else where

    def point_there(raw: dict[str, Any]) -> None:
        raw["graphs"][GENERATOR_GRAPH]["file"] = name
        raw["checksums"][name] = file_sha256(outside)

    rewrite_manifest(folder, point_there)
    with pytest.raises(ManifestError, match=f"artifact: {re.escape(name)} is missing"):
        check_artifact_files(folder, read_manifest(folder))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda raw: raw.update(schema_hash="0" * 16), "schema hash 0000000000000000 is not"),
        (lambda raw: raw["features"]["fields"].pop(1), "is not"),
        (lambda raw: raw["features"]["fields"][3].update(edges=[1.0, 2.5, 11.0]), "is not"),
        (lambda raw: raw.update(format=2), "format 2 is not 1"),
        (lambda raw: raw.update(owner="me"), "owner: Extra inputs"),
        (lambda raw: raw.pop("graphs"), "graphs: Field required"),
        (lambda raw: raw.update(members=0), "members"),
        (lambda raw: raw.update(risk_aversion=-0.5), "risk_aversion"),
        (lambda raw: raw["lengths"].update(default_list_size=11), "default_list_size 11"),
    ],
)
def test_manifest_contradiction_is_rejected(folder, change, named):
    rewrite_manifest(folder, change)
    with pytest.raises(ManifestError, match=named):
        read_manifest(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_read_manifest_invalid_content_raises_manifest_error(folder, content):
    (folder / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(ManifestError):
        read_manifest(folder)
    (folder / MANIFEST_FILE).unlink()
    with pytest.raises(ManifestError, match=r"no readable manifest\.json"):
        read_manifest(folder)
