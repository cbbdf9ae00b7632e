import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from export.publish import artifact_name, point_current, publish
from model.contract.manifest import TABLES
from tests.artifacts import tiny_artifact

NOW = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)


def test_a_build_that_fails_leaves_the_folder_as_it_was(tmp_path: Path):
    (tmp_path / "old").mkdir()
    point_current(tmp_path, "old")

    def build(folder: Path):
        (folder / "half").write_text("x")
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk"):
        publish(tmp_path, build, NOW)

    assert {p.name for p in tmp_path.iterdir()} == {"old", "current"}
    assert (tmp_path / "current").resolve() == tmp_path / "old"


def test_nobody_may_write_into_what_services_map_and_everybody_may_read_it(tmp_path: Path):
    folder = tiny_artifact(tmp_path)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert [name for name, mode in modes.items() if not mode & 0o222] == [TABLES]
    assert all(mode & 0o444 == 0o444 for mode in modes.values())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755  # it may still be deleted


def test_the_current_link_is_swapped_not_removed(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        point_current(tmp_path, name)
        assert (tmp_path / "current").resolve() == tmp_path / name
    assert {p.name for p in tmp_path.iterdir()} == {"one", "two", "current"}


def test_names_sort_by_age_and_tell_contents_apart():
    later = datetime(2026, 11, 21, 5, 31, tzinfo=UTC)

    assert artifact_name({"a": "1"}, NOW) < artifact_name({"a": "1"}, later)
    assert artifact_name({"a": "1"}, NOW) != artifact_name({"a": "2"}, NOW)
