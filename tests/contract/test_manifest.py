"""An artifact's folder is what its manifest says, or it is refused with the reason."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.contract.errors import ManifestError
from model.contract.fitted import FittedSchema
from model.contract.manifest import (
    EVALUATOR,
    GENERATOR,
    GENERATOR_RULES,
    GOLDEN,
    ITEMS,
    MANIFEST,
    REFINER,
    REFINER_RULES,
    TABLES,
    Graph,
    Lengths,
    Manifest,
    file_checksum,
    read_manifest,
    require_whole,
    write_manifest,
)

FILES = ("generator.onnx", "evaluator.onnx", ITEMS, GOLDEN)


@pytest.fixture
def folder(tmp_path: Path, schema: FittedSchema) -> Path:
    """An artifact's folder, whole; its files hold text, for nothing here runs a graph."""
    home = tmp_path / "artifact"
    home.mkdir()
    for name in FILES:
        (home / name).write_text(f"content of {name}")
    graphs = {
        name: Graph(file=f"{name}.onnx", inputs=[], outputs=[], nodes=1)
        for name in (GENERATOR, EVALUATOR)
    }
    manifest = Manifest(
        artifact="toy",
        created_at="2026-11-21T00:00:00Z",
        features=schema,
        schema_hash=schema.hash,
        graphs=graphs,
        lengths=Lengths(
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
        checksums={name: file_checksum(home / name) for name in FILES},
    )
    write_manifest(home, manifest)
    return home


def altered(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads((folder / MANIFEST).read_text())
    change(raw)
    (folder / MANIFEST).write_text(json.dumps(raw))


def test_a_written_manifest_reads_back_the_same_and_its_folder_is_whole(folder, schema):
    manifest = read_manifest(folder)

    require_whole(folder, manifest)
    assert manifest.features == schema
    write_manifest(folder, manifest)
    assert read_manifest(folder) == manifest


def test_a_checksum_is_that_of_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # the first example of FIPS 180-4
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_checksum(tmp_path / "x") == expected


@pytest.mark.parametrize("name", FILES)
def test_an_altered_or_missing_file_is_refused_by_name(folder, name):
    manifest = read_manifest(folder)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b"!")
    with pytest.raises(ManifestError, match=f"{name} was altered"):
        require_whole(folder, manifest)
    (folder / name).unlink()
    with pytest.raises(ManifestError, match=f"{name} is missing"):
        require_whole(folder, manifest)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_service_reads_must_have_a_checksum(folder, name):
    altered(folder, lambda raw: raw["checksums"].pop(name))
    with pytest.raises(ManifestError, match=f"no checksum for {name}"):
        require_whole(folder, read_manifest(folder))


def test_tables_that_a_graph_looks_up_must_have_a_checksum(folder):
    table = {"name": "t", "dtype": "float32", "shape": [2, 2], "offset": 0}
    altered(folder, lambda raw: raw["graphs"][GENERATOR].update(tables=[table]))
    with pytest.raises(ManifestError, match=f"no checksum for {TABLES}"):
        require_whole(folder, read_manifest(folder))


def test_what_is_generated_under_rules_must_be_refinable_under_rules(folder):
    graph = {"file": "generator.onnx", "inputs": [], "outputs": [], "nodes": 1}

    def graphs(*more: str) -> Callable[[dict[str, Any]], None]:
        names = (GENERATOR, EVALUATOR, *more)
        return lambda raw: raw.update(refine_rounds=8, graphs=dict.fromkeys(names, graph))

    altered(folder, graphs())
    with pytest.raises(ManifestError, match=f"there is no {REFINER} for {GENERATOR}$"):
        read_manifest(folder)
    altered(folder, graphs(REFINER))
    assert read_manifest(folder).refine_rounds == 8
    altered(folder, graphs(REFINER, GENERATOR_RULES))
    with pytest.raises(ManifestError, match=f"there is no {REFINER_RULES} for {GENERATOR_RULES}$"):
        read_manifest(folder)
    altered(folder, graphs(REFINER, GENERATOR_RULES, REFINER_RULES))
    assert read_manifest(folder).refine_rounds == 8


def test_a_file_beside_them_without_a_checksum_is_refused(folder):
    (folder / "evaluator.onnx.data").write_text("weights from elsewhere")
    with pytest.raises(ManifestError, match=r"no checksum for evaluator\.onnx\.data"):
        require_whole(folder, read_manifest(folder))


@pytest.mark.parametrize("where", ["../outside.onnx", ".deeper/inside.onnx", "ABSOLUTE", "..", ""])
def test_a_graph_outside_the_folder_is_refused_even_with_the_right_checksum(folder, where):
    outside, inside = folder.parent / "outside.onnx", folder / ".deeper" / "inside.onnx"
    inside.parent.mkdir()
    for target in (outside, inside):
        shutil.copy(folder / "generator.onnx", target)
    name = str(outside) if where == "ABSOLUTE" else where

    def point_there(raw: dict[str, Any]) -> None:
        raw["graphs"][GENERATOR]["file"] = name
        raw["checksums"][name] = file_checksum(outside)

    altered(folder, point_there)
    with pytest.raises(ManifestError, match=f"artifact: {re.escape(name)} is missing"):
        require_whole(folder, read_manifest(folder))


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
        (lambda raw: raw.update(pessimism=-0.5), "pessimism"),
        (lambda raw: raw["lengths"].update(default_list_size=11), "default_list_size 11"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(folder, change, named):
    altered(folder, change)
    with pytest.raises(ManifestError, match=named):
        read_manifest(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_manifest_that_is_not_one_is_an_error_of_the_artifact(folder, content):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ManifestError):
        read_manifest(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(ManifestError, match=r"no readable manifest\.json"):
        read_manifest(folder)
