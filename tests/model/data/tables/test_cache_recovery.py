"""Prepared tables that are broken, and folders that cannot be written."""

import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from model.data.tables.table_builder import log_fingerprint
from model.data.tables.table_cache import LogTables, load_log_tables
from tests.toy_log import write_toy_log

NOBODY_UID = 65_534


def _equal(a: LogTables, b: LogTables) -> bool:
    names = [n for n, v in vars(a).items() if isinstance(v, np.ndarray)]
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in names)


@contextmanager
def _without_root() -> Iterator[None]:
    """Drop the rights of root, which may write into a read-only folder."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY_UID)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def read_only_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A log in a read-only folder, beside a user cache that is writable."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    log = write_toy_log(folder / "log")
    cache = folder / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    load_log_tables(write_toy_log(folder / "other"))  # imports happen before rights are dropped
    load_log_tables(folder / "other")
    log.chmod(0o555)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    yield log
    log.chmod(0o755)
    shutil.rmtree(folder)


def test_load_log_tables_read_only_log_uses_user_cache(read_only_log: Path, caplog):
    with _without_root():
        first = load_log_tables(read_only_log)
        kept = (
            read_only_log.parent / "cache" / "relist" / "prepared" / log_fingerprint(read_only_log)
        )
        written = (kept / "meta.json").stat().st_mtime_ns
        again = load_log_tables(read_only_log)

    assert (kept / "meta.json").stat().st_mtime_ns == written
    assert _equal(first, again)
    assert isinstance(again.candidates, np.memmap)
    [line] = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert str(read_only_log / "prepared") in line
    assert str(kept) in line


def test_load_log_tables_explicit_cache_keeps_foreign_files(tmp_path: Path):
    log = write_toy_log(tmp_path / "log")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "notes.txt").write_text("not ours")

    first = load_log_tables(log, cache_dir=cache)

    assert _equal(first, load_log_tables(log, cache_dir=cache))
    assert (cache / "notes.txt").read_text() == "not ours"
    assert (cache / log_fingerprint(log) / "meta.json").exists()
    assert not (log / "prepared").exists()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def _replace_by_other_values(path: Path) -> None:
    array = np.load(path)
    np.save(path, np.zeros_like(array))


def _replace_by_other_shape(path: Path) -> None:
    np.save(path, np.zeros(3, dtype=np.int32))


@pytest.mark.parametrize("file", ["candidates.npy", "user_table.npy", "items.npz", "part.npy"])
@pytest.mark.parametrize("damage", [Path.unlink, _truncate, _replace_by_other_shape])
def test_load_log_tables_damaged_file_is_rebuilt(tmp_path: Path, file: str, damage, caplog):
    log = write_toy_log(tmp_path)
    plain = load_log_tables(log)
    if damage is _replace_by_other_shape and file == "items.npz":
        damage = _truncate
    damage(log / "prepared" / file)

    rebuilt = load_log_tables(log)

    assert _equal(plain, rebuilt)
    [line] = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert str(log / "prepared") in line
    assert file in line
    assert "\n" not in line


def test_load_log_tables_foreign_array_is_rebuilt(tmp_path: Path, caplog):
    log = write_toy_log(tmp_path)
    plain = load_log_tables(log)
    _replace_by_other_values(log / "prepared" / "clicks.npy")

    assert _equal(plain, load_log_tables(log))
    assert "clicks.npy" in caplog.text


_PREPARE_WITH_SMALL_FILES = """
import resource, sys
from model.data.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
sys.exit(main(["prepare", sys.argv[1]]))
"""


def test_prepare_on_full_disk_names_path_and_need(tmp_path: Path):
    log = write_toy_log(tmp_path / "log")

    done = subprocess.run(
        [sys.executable, "-c", _PREPARE_WITH_SMALL_FILES, str(log)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"{log / 'prepared'} cannot be written" in done.stderr
    assert "MB are free" in done.stderr
    assert not [path for path in log.iterdir() if path.name.startswith(".")]


def test_prepared_folder_is_readable_by_others(tmp_path: Path):
    log = write_toy_log(tmp_path / "log")
    load_log_tables(log)

    assert stat.S_IMODE((log / "prepared").stat().st_mode) == 0o755
