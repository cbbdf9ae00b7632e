"""Embedding weights are mapped once for each process, and rejected when they are wrong."""

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from model.contract.artifact.manifest import (
    EVALUATOR_GRAPH,
    EXTERNAL_WEIGHTS_FILE,
    GENERATOR_GRAPH,
    MANIFEST_FILE,
    file_sha256,
)
from model.contract.errors import ManifestError
from service.inference.artifact_reader import Artifact, read_artifact
from service.inference.verification import verify_artifact


def mappings(folder: Path) -> int:
    """How many times this process maps the folder's tables, also after the file was deleted."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(f"{folder / EXTERNAL_WEIGHTS_FILE}" in line for line in lines)


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST_FILE).read_text())


def rewrite(folder: Path, manifest: dict[str, Any], *altered: str) -> None:
    """Write the manifest with the checksums of the altered files."""
    for name in altered:
        manifest["checksums"][name] = file_sha256(folder / name)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def answer(artifact: Artifact) -> list[np.ndarray]:
    with np.load(artifact.folder.parent / "golden.npz") as file:
        inputs = {k.removeprefix("in_"): file[k][:4] for k in file.files if k.startswith("in_")}
    run = artifact.graphs.bind()
    lists = run.generate(inputs, rules=False)
    return [lists, run.evaluate(inputs | {"lists": lists})[0]]


@pytest.fixture
def folder(artifact_folder, tmp_path):
    """A private copy of the artifact, with its golden batch also in the parent folder."""
    (tmp_path / "golden.npz").write_bytes((artifact_folder / "golden.npz").read_bytes())
    return Path(shutil.copytree(artifact_folder, tmp_path / "mine"))


def test_mapping_is_shared_and_ends_with_its_graphs(folder):
    artifact = read_artifact(folder)
    tables = [graph.tables for graph in artifact.manifest.graphs.values()]
    assert sum(bool(t) for t in tables) == 2  # both generators
    answer(artifact)

    assert mappings(folder) == 1
    session = artifact.graphs.sessions[GENERATOR_GRAPH]
    del artifact
    gc.collect()
    assert mappings(folder) == 1  # a session keeps its weights alive
    del session
    gc.collect()
    assert mappings(folder) == 0


def test_replaced_or_deleted_folder_does_not_change_outputs(folder):
    artifact = read_artifact(folder)
    before = answer(artifact)
    other = folder / "other"
    other.write_bytes(bytes((folder / EXTERNAL_WEIGHTS_FILE).stat().st_size))
    other.replace(folder / EXTERNAL_WEIGHTS_FILE)
    replaced = answer(artifact)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()

    for after in (replaced, answer(artifact)):
        for a, b in zip(before, after, strict=True):
            assert (a == b).all()


def test_table_beyond_the_end_of_file_is_rejected(folder):
    content = (folder / EXTERNAL_WEIGHTS_FILE).read_bytes()
    (folder / EXTERNAL_WEIGHTS_FILE).unlink()
    (folder / EXTERNAL_WEIGHTS_FILE).write_bytes(content[: len(content) // 2])
    rewrite(folder, manifest_of(folder), EXTERNAL_WEIGHTS_FILE)
    with pytest.raises(
        ManifestError, match=rf"is not in {EXTERNAL_WEIGHTS_FILE} \({len(content) // 2} bytes\)"
    ):
        read_artifact(folder)

    (folder / EXTERNAL_WEIGHTS_FILE).write_bytes(b"")
    rewrite(folder, manifest_of(folder), EXTERNAL_WEIGHTS_FILE)
    with pytest.raises(ManifestError, match=f"{EXTERNAL_WEIGHTS_FILE} cannot be mapped"):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dtype": "float99"}, f"is not in {EXTERNAL_WEIGHTS_FILE}"),
        ({"shape": [1 << 40, 5]}, f"is not in {EXTERNAL_WEIGHTS_FILE}"),
        ({"shape": [3, 5]}, "golden batch"),  # the runtime does not check it
    ],
)
def test_table_of_wrong_type_or_shape_is_rejected(folder, change, named):
    manifest = manifest_of(folder)
    manifest["graphs"][GENERATOR_GRAPH]["tables"][0].update(change)
    rewrite(folder, manifest)

    with pytest.raises(ManifestError, match=named):
        verify_artifact(read_artifact(folder))


def test_changed_rows_fail_the_golden_batch(folder):
    content = np.frombuffer((folder / EXTERNAL_WEIGHTS_FILE).read_bytes(), dtype=np.float32)
    (folder / EXTERNAL_WEIGHTS_FILE).unlink()
    (folder / EXTERNAL_WEIGHTS_FILE).write_bytes((-content).tobytes())
    rewrite(folder, manifest_of(folder), EXTERNAL_WEIGHTS_FILE)

    with pytest.raises(ManifestError, match="golden batch"):
        verify_artifact(read_artifact(folder))


def test_artifact_with_embedded_weights_gives_equal_outputs(folder):
    expected = answer(read_artifact(folder))
    manifest = manifest_of(folder)
    for graph in manifest["graphs"].values():
        onnx.save(onnx.load(folder / graph["file"]), folder / graph["file"])
        del graph["tables"]
    del manifest["checksums"][EXTERNAL_WEIGHTS_FILE]
    (folder / EXTERNAL_WEIGHTS_FILE).unlink()
    rewrite(folder, manifest, *(graph["file"] for graph in manifest["graphs"].values()))

    artifact = read_artifact(folder)
    assert verify_artifact(artifact) > 0
    assert mappings(folder) == 0
    for output, expected_output in zip(answer(artifact), expected, strict=True):
        assert (output == expected_output).all()
    assert manifest["graphs"][EVALUATOR_GRAPH]
