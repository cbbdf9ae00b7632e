"""Tables are mapped once a process, live as long as who reads them, and are refused when wrong."""

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
from service.inference.artifact import Artifact, read_artifact
from service.inference.verify import verify


def mappings(folder: Path) -> int:
    """How many times this process maps the folder's tables; also after the file was deleted."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(f"{folder / EXTERNAL_WEIGHTS_FILE}" in line for line in lines)


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST_FILE).read_text())


def rewrite(folder: Path, manifest: dict[str, Any], *altered: str) -> None:
    """The manifest, which owns up to what was altered."""
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
def place(artifact_folder, tmp_path):
    """A copy of the artifact of one's own, its golden batch also beside it."""
    (tmp_path / "golden.npz").write_bytes((artifact_folder / "golden.npz").read_bytes())
    return Path(shutil.copytree(artifact_folder, tmp_path / "mine"))


def test_all_graphs_of_a_process_read_one_mapping_which_ends_with_the_last_of_them(place):
    artifact = read_artifact(place)
    tables = [graph.tables for graph in artifact.manifest.graphs.values()]
    assert sum(bool(t) for t in tables) == 2  # both generators look up
    answer(artifact)

    assert mappings(place) == 1
    session = artifact.graphs.sessions[GENERATOR_GRAPH]
    del artifact
    gc.collect()
    assert mappings(place) == 1  # who holds a session alone may still run it
    del session
    gc.collect()
    assert mappings(place) == 0


def test_a_folder_that_is_replaced_or_deleted_does_not_change_what_is_served(place):
    artifact = read_artifact(place)
    before = answer(artifact)
    other = place / "other"
    other.write_bytes(bytes((place / EXTERNAL_WEIGHTS_FILE).stat().st_size))
    other.replace(place / EXTERNAL_WEIGHTS_FILE)
    replaced = answer(artifact)
    for file in place.iterdir():
        file.unlink()
    place.rmdir()

    for after in (replaced, answer(artifact)):
        for a, b in zip(before, after, strict=True):
            assert (a == b).all()


def test_a_table_beyond_the_end_of_its_file_is_refused_though_the_checksum_is_right(place):
    content = (place / EXTERNAL_WEIGHTS_FILE).read_bytes()
    (place / EXTERNAL_WEIGHTS_FILE).unlink()
    (place / EXTERNAL_WEIGHTS_FILE).write_bytes(content[: len(content) // 2])
    rewrite(place, manifest_of(place), EXTERNAL_WEIGHTS_FILE)
    with pytest.raises(
        ManifestError, match=rf"is not in {EXTERNAL_WEIGHTS_FILE} \({len(content) // 2} bytes\)"
    ):
        read_artifact(place)

    (place / EXTERNAL_WEIGHTS_FILE).write_bytes(b"")
    rewrite(place, manifest_of(place), EXTERNAL_WEIGHTS_FILE)
    with pytest.raises(ManifestError, match=f"{EXTERNAL_WEIGHTS_FILE} cannot be mapped"):
        read_artifact(place)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dtype": "float99"}, f"is not in {EXTERNAL_WEIGHTS_FILE}"),
        ({"shape": [1 << 40, 5]}, f"is not in {EXTERNAL_WEIGHTS_FILE}"),
        ({"shape": [3, 5]}, "golden batch"),  # the runtime itself believes what it is given
    ],
)
def test_a_table_that_is_not_what_the_graph_looks_up_is_refused(place, change, named):
    manifest = manifest_of(place)
    manifest["graphs"][GENERATOR_GRAPH]["tables"][0].update(change)
    rewrite(place, manifest)

    with pytest.raises(ManifestError, match=named):
        verify(read_artifact(place))


def test_other_rows_under_the_right_checksum_do_not_give_the_golden_answers(place):
    content = np.frombuffer((place / EXTERNAL_WEIGHTS_FILE).read_bytes(), dtype=np.float32)
    (place / EXTERNAL_WEIGHTS_FILE).unlink()
    (place / EXTERNAL_WEIGHTS_FILE).write_bytes((-content).tobytes())
    rewrite(place, manifest_of(place), EXTERNAL_WEIGHTS_FILE)

    with pytest.raises(ManifestError, match="golden batch"):
        verify(read_artifact(place))


def test_an_artifact_from_before_holds_its_tables_in_its_graphs_and_serves(place):
    expected = answer(read_artifact(place))
    manifest = manifest_of(place)
    for graph in manifest["graphs"].values():
        onnx.save(onnx.load(place / graph["file"]), place / graph["file"])
        del graph["tables"]
    del manifest["checksums"][EXTERNAL_WEIGHTS_FILE]
    (place / EXTERNAL_WEIGHTS_FILE).unlink()
    rewrite(place, manifest, *(graph["file"] for graph in manifest["graphs"].values()))

    artifact = read_artifact(place)
    assert verify(artifact) > 0
    assert mappings(place) == 0
    for found, wanted in zip(answer(artifact), expected, strict=True):
        assert (found == wanted).all()
    assert manifest["graphs"][EVALUATOR_GRAPH]
