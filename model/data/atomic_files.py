"""Atomic writes: a file or a folder is replaced as a whole, or stays as it was.

Contents are written under a temporary name beside the target, flushed to disk, and renamed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model.data.errors import WriteFailed

_DIR_MODE, _FILE_MODE = 0o755, 0o644


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` when the block ends without an error.

    The temporary name keeps the suffix of `path`, which numpy.save reads.

    Raises:
        WriteFailed: the file system refused a write. PermissionError: the folder is read-only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=f"-{path.name}", dir=path.parent)
    os.close(handle)
    fresh = Path(name)
    try:
        with _reporting_failures(path, fresh):
            yield fresh
            _sync(fresh)
            fresh.chmod(_FILE_MODE)
            fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def replace_dir(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `path` when the block ends without an error.

    A folder that stands at `path` is deleted after the rename.

    Raises:
        WriteFailed: the file system refused a write. PermissionError: the parent is read-only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with _reporting_failures(path, fresh):
            fresh.chmod(_DIR_MODE)
            yield fresh
            for written in [*fresh.rglob("*"), fresh]:
                _sync(written)
            _swap(fresh, path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _sync(path.parent)


def _swap(fresh: Path, path: Path) -> None:
    """Put `fresh` at `path`; the old folder leaves under a temporary name first."""
    if not path.exists():
        fresh.replace(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
    path.replace(old)
    try:
        fresh.replace(path)
    except OSError:
        old.replace(path)
        raise
    shutil.rmtree(old)


@contextmanager
def _reporting_failures(path: Path, fresh: Path) -> Iterator[None]:
    """Turn an OSError of a write into WriteFailed, which names `path` and the space."""
    try:
        yield
    except OSError as error:
        raise WriteFailed(
            path=path,
            reason=error.strerror or str(error),
            written_bytes=_size(fresh),
            free_bytes=shutil.disk_usage(path.parent).free,
        ) from error


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    with suppress(OSError):
        return sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())
    return 0


def _sync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
