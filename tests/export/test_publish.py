import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from export.publish import artifact_name, publish_artifact, swap_current_link
from model.contract.artifact.manifest import EXTERNAL_WEIGHTS_FILE
from tests.tiny_artifact import tiny_artifact

NOW = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)


def test_publish_artifact_failed_build_leaves_root_unchanged(tmp_path: Path):
    (tmp_path / "old").mkdir()
    swap_current_link(tmp_path, "old")

    def build(folder: Path):
        (folder / "half").write_text("x")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk"):
        publish_artifact(tmp_path, build, NOW)

    assert {p.name for p in tmp_path.iterdir()} == {"old", "current"}
    assert (tmp_path / "current").resolve() == tmp_path / "old"


def test_publish_artifact_weights_are_read_only(tmp_path: Path):
    folder = tiny_artifact(tmp_path)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert [name for name, mode in modes.items() if not mode & 0o222] == [EXTERNAL_WEIGHTS_FILE]
    assert all(mode & 0o444 == 0o444 for mode in modes.values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755  # it may still be deleted


def test_swap_current_link_replaces_atomically(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        swap_current_link(tmp_path, name)
        assert (tmp_path / "current").resolve() == tmp_path / name
    assert {p.name for p in tmp_path.iterdir()} == {"one", "two", "current"}


def test_artifact_name_sorts_by_age_differs_by_content():
    later = datetime(2026, 11, 21, 5, 31, tzinfo=UTC)

    assert artifact_name({"a": "1"}, NOW) < artifact_name({"a": "1"}, later)
    assert artifact_name({"a": "1"}, NOW) != artifact_name({"a": "2"}, NOW)
